"""What counts as a secret, and its replacement in everything that is written or shown.

A secret is the value of an environment variable or request header whose name says so (`API_KEY`,
`AUTH_TOKEN`, …), a credential that a client was given, or text shaped like an API key. Ordinary
words are no secrets: `ANTHROPIC_CUSTOM_HEADERS` may say `X-Team: attention_kernel`, and a kernel of
that name must not be edited for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from avo_tui.domain.base import Value

V = TypeVar("V", bound=Value)

REDACTED = "[redacted]"
SHORTEST = 8
"""Shortest value that is replaced, in characters, because short values occur in ordinary text."""

_NAMES = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|key|token|secret|password|passwd|credentials?|authorization|auth"
    r"|cookie)(?:$|[_-])",
    re.IGNORECASE,
)
_PERHAPS = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|^(ANTHROPIC|AWS|OPENAI)_", re.IGNORECASE
)
_ESCAPE = r"(?:%(?:25){0,3}|\\{1,8}(?:u00|x))"
"""What begins a character as an address, JSON or a program may write it, one within another."""
_CODE = "[0-9A-Fa-f]{2}"
_BEHIND_ESCAPE = rf"|(?<=\\[nrt])|(?<=%{_CODE})|(?<=\\u00{_CODE})|(?<=\\x{_CODE})"
"""Where a word begins though a letter is before it: that ends an escape, such as that of a line."""
_ESCAPED = re.compile(_ESCAPE + r"[2-7][0-9A-Fa-f]|\\/")
_WORD = re.compile(r"[A-Za-z_]+")
_CHOSEN = re.compile(r"pass|secret|credential", re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[a-z_]{1,20}|[A-Z_]{1,20}")
"""What stands in the place of a key for a server that asks for none, such as `attention`. No key or
token that anybody issued reads so, and sources would be damaged; a password may."""
_SCHEMES = ("bearer ", "basic ", "token ")

Redact = Callable[[str], str]


def names_a_secret(name: str) -> bool:
    """True for the name of a variable or header whose value is a secret, such as `HF_TOKEN`."""
    return bool(_NAMES.search(name))


def may_hold_a_secret(name: str) -> bool:
    """True for a variable that is removed from the environment of candidates.

    It matches more than `names_a_secret`, because removing one too many does no harm there.
    """
    return bool(_PERHAPS.search(name))


def secret_values(
    environment: Mapping[str, str] | None = None, more: Iterable[str] = ()
) -> list[str]:
    """The secrets in an environment (by default this process's) and those in `more`, longest
    first."""
    env = os.environ if environment is None else environment
    named = {name: value.strip() for name, value in env.items() if names_a_secret(name)}
    values = {
        value
        for name, value in named.items()
        if _CHOSEN.search(name) or not _PLAIN_WORD.fullmatch(value)
    }
    values = {value for value in values if not value.startswith(("/", "~"))}  # a path of a file
    for line in env.get("ANTHROPIC_CUSTOM_HEADERS", "").splitlines():
        name, _, value = line.partition(":")
        if names_a_secret(name.strip()):
            values.add(_without_scheme(value.strip()))
    values.update(value.strip() for value in more if not _PLAIN_WORD.fullmatch(value.strip()))
    return sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True)


def redactor(values: Iterable[str]) -> Redact:
    """A function that replaces each of these values, and whatever looks like an API key, in a text.

    A value that consists only of letters and underscores is replaced only as a separate word, so
    that a key such as `placeholder` does not change identifiers that contain it.
    """
    known = list(values)
    of_key = rf"(?:[A-Za-z0-9_-]|{_ESCAPE}(?i:2d|3[0-9]|[46][1-9a-f]|[57][0-9a]|5f))"
    # a known value goes first: only part of it may look like a key
    plain = re.compile("|".join([*(_pattern(v, _plain) for v in known), _shape(_plain)]))
    # much slower, and therefore for texts alone that have an escape
    escaped = re.compile(
        "|".join([*(_pattern(v, _written) for v in known), _shape(_written, of_key)])
    )

    def replace(text: str) -> str:
        pattern = escaped if _ESCAPED.search(text) else plain
        return pattern.sub(REDACTED, text)

    return replace


def following_redactor(credentials: Callable[[], Iterable[str]]) -> Redact:
    """A redactor for credentials that may change while it is in use, such as a key that is
    reloaded.

    `credentials` is called for every text. Values it returned earlier are still replaced, because
    old keys may remain in answers and files.
    """
    seen: set[str] = set()
    replace = redactor(secret_values())

    def redact_all(text: str) -> str:
        nonlocal replace
        new = set(credentials()) - seen
        if new:
            seen.update(new)
            replace = redactor(secret_values(more=seen))
        return replace(text)

    redact_all("")  # call it once now, so that the initial values are remembered
    return redact_all


def redact(text: str) -> str:
    return redactor(secret_values())(text)


def redact_json(value: Any, replace: Redact) -> Any:
    """A JSON value in which every string is redacted, including the names of members."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, dict):
        return {replace(str(k)): redact_json(v, replace) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact_json(v, replace) for v in value]
    return value


FREE_TEXT = frozenset(
    {"text", "title", "idea", "plan", "summary", "reason", "label", "note", "directions"}
)
"""Names of the fields of commands and events that hold what somebody wrote in their own words."""


def without_secrets(value: V) -> V:
    """A command or an event, with its free texts redacted; names, numbers and sources stay."""
    changes = {}
    for name in type(value).model_fields:
        given = getattr(value, name)
        clean = _clean(given, name in FREE_TEXT)
        if clean != given:
            changes[name] = clean
    return value.model_copy(update=changes) if changes else value


def _clean(given: Any, free: bool) -> Any:
    if isinstance(given, Value):
        return without_secrets(given)
    if isinstance(given, tuple):
        return tuple(_clean(item, free) for item in given)
    return redact(given) if free and isinstance(given, str) else given


def _shape(written: Callable[[str], str], of_key: str = "[A-Za-z0-9_-]") -> str:
    return f"{_begin('A-Za-z0-9')}{''.join(map(written, 'sk-'))}{of_key}{{16,}}"


def _pattern(value: str, written: Callable[[str], str]) -> str:
    escaped = "".join(map(written, value))
    if _WORD.fullmatch(value):
        return rf"{_begin('A-Za-z0-9_')}{escaped}(?![A-Za-z0-9_])"
    return escaped


def _begin(letters: str) -> str:
    return f"(?:(?<![{letters}]){_BEHIND_ESCAPE})"


def _plain(character: str) -> str:
    """A pattern of a character of a secret, as it is or quoted."""
    return ("" if character.isalnum() or character in "-_" else r"\\{0,8}") + re.escape(character)


def _written(character: str) -> str:
    """A pattern of all the ways in which a character of a secret may be written."""
    if ord(character) >= 128:
        return re.escape(character)
    return rf"(?:\\{{0,8}}{re.escape(character)}|{_ESCAPE}(?i:{ord(character):02x}))"


def _without_scheme(value: str) -> str:
    for scheme in _SCHEMES:
        if value.lower().startswith(scheme):
            return value[len(scheme) :].strip()
    return value
