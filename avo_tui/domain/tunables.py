"""Tunable constants that a kernel declares in its own source.

These forms, each on one line, with the values that may be tried in a trailing comment:

    constexpr int TILE_K = 32;  // tune: 16 32 64 128
    const TILE: usize = 32;     // tune: 16 32 64
    #define UNROLL 4            /* tune: 1 2 4 8 */
    BLOCK = 256                 # tune: 128 256 512

The last is for Python and for a table of the launch manifest, such as `[macros]`. In the others
either comment of C may be used.

Values may carry names, each behind its value or all together in a remark at the end:

    constexpr int ALGORITHM = 0;  // tune: 0(naive) 1(tiled) 2(online)
    constexpr int ALGORITHM = 0;  // tune: 0 1 2  (naive, tiled, online)

A remark with another number of parts says what the tunable means. Numbers are ordered; names and
booleans are not. Setting a tunable replaces the token of its value and no other byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate

MAX_VALUES = 64
"""Largest number of values of one tunable; a declaration with more is rejected."""
MAX_LINE = 1000
"""Longer lines are not searched: sources are untrusted, and matching long lines takes too long."""

_NUMBER = r"[+-]?(?:0[xX][0-9a-fA-F']+|(?:\d[\d']*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[a-zA-Z]{0,3}"
_SYMBOL = r"[A-Za-z_](?:\w|::)*"
_TOKEN = rf"(?:{_NUMBER}|{_SYMBOL})"
_NAME = r"[A-Za-z_]\w*"
_COMMENT = r"(?://[ \t]*tune:(?P<values>[^\n\r]*)|/\*[ \t]*tune:(?P<enclosed>[^\n\r]*?)\*/[^\n\r]*)"
_CONSTANT = re.compile(
    rf"[^/\"']*?\b(?:constexpr|const)\b[^/\"'=:]*?(?:::[^/\"'=:]*?)*\b(?P<name>{_NAME})"
    rf"(?:[ \t]*:[ \t]*\w+)?[ \t]*=[ \t]*"  # in Rust the type follows the name
    rf"(?P<token>{_TOKEN})[ \t]*;[ \t]*{_COMMENT}"
)
_DEFINE = re.compile(
    rf"[ \t]*#[ \t]*define[ \t]+(?P<name>{_NAME})[ \t]+(?P<token>{_TOKEN})[ \t]*{_COMMENT}"
)
_ASSIGNMENT = re.compile(
    rf"[ \t]*(?P<name>{_NAME})[ \t]*(?::[ \t]*[\w.]+[ \t]*)?=[ \t]*(?P<token>{_TOKEN})[ \t]*"
    r"#[ \t]*tune:(?P<values>[^\n\r]*)"
)
_REMARK = re.compile(r"(?:^|[ \t])\((?P<remark>[^()]*(?:\([^()]*\)[^()]*)*)\)[ \t]*$")
_ANY = re.compile(r"(?://|/\*|#)[ \t]*tune:")
_CHOICE = re.compile(rf"(?P<token>{_TOKEN})(?:\((?P<label>[\w .+-]{{1,40}})\))?(?:[ \t,]+|$)")


class Choice(Value):
    token: str
    """The text in the source."""
    label: str = ""
    """Its name in parentheses, if it has one."""

    def __str__(self) -> str:
        return f"{self.token} ({self.label})" if self.label else self.token

    @property
    def number(self) -> float | None:
        return _number(self.token)


class Tunable(Value):
    """A constant that may be set to one of several values."""

    name: str
    file: str
    line: int
    """1-based."""
    start: int
    end: int
    """Offsets of the value in the file's text."""
    token: str
    choices: tuple[Choice, ...]
    meaning: str = ""
    """The author's description, if there is one."""

    @property
    def ordered(self) -> bool:
        """Whether neighbouring values are similar to each other: true for plain numbers without
        names."""
        return len(self.choices) > 2 and all(
            c.number is not None and not c.label for c in self.choices
        )

    @property
    def index(self) -> int:
        return self._find(self.token)

    @property
    def current(self) -> Choice:
        return self.choices[self.index]

    def find(self, text: str) -> Choice | None:
        """The value that a person's `text` refers to, by token, number or name; None if there is
        none."""
        wanted = text.strip()
        for choice in self.choices:
            if wanted == choice.token or wanted.lower() == choice.label.lower() != "":
                return choice
        number = _number(wanted)
        if number is not None:
            return next((c for c in self.choices if c.number == number), None)
        return next((c for c in self.choices if c.token.lower() == wanted.lower()), None)

    def _find(self, token: str) -> int:
        choice = self.find(token)
        return self.choices.index(choice) if choice is not None else 0


class Flaw(Value):
    """A `tune:` comment that cannot be used, with the reason."""

    file: str
    line: int
    reason: str


Point = Mapping[str, str]
"""Name → value: one combination of values of all tunables."""


@lru_cache(maxsize=512)
def _parse_text(file: str, text: str) -> tuple[tuple[Tunable, ...], tuple[Flaw, ...]]:
    tunables: list[Tunable] = []
    flaws: list[Flaw] = []
    begin = 0
    for number, line in enumerate(text.split("\n"), 1):
        if _ANY.search(line):
            tunable = _parse_line(file, number, begin, line)
            if isinstance(tunable, Tunable):
                tunables.append(tunable)
            else:
                flaws.append(Flaw(file=file, line=number, reason=tunable))
        begin += len(line) + 1
    return tuple(tunables), tuple(flaws)


def _parse_line(file: str, number: int, begin: int, line: str) -> Tunable | str:
    """The tunable on a line with a `tune:` comment, or the reason why the comment is invalid."""
    if len(line) > MAX_LINE:
        return f"a line with a tune: comment may have {MAX_LINE} characters"
    match = _CONSTANT.match(line) or _DEFINE.match(line) or _ASSIGNMENT.match(line)
    if match is None:
        return (
            "a tune: comment belongs behind `constexpr TYPE NAME = VALUE;`, a #define, or, with #, "
            "behind `NAME = VALUE`"
        )
    groups = match.groupdict()
    choices, meaning, reason = _choices(groups["values"] or groups.get("enclosed") or "")
    if reason:
        return reason
    name, token = match["name"], match["token"]
    here = _number(token)
    if not any(c.token == token or (here is not None and here == c.number) for c in choices):
        return f"{name} = {token} is not among its own values"
    return Tunable(
        name=name,
        file=file,
        line=number,
        start=begin + match.start("token"),
        end=begin + match.end("token"),
        token=token,
        choices=choices,
        meaning=meaning,
    )


def _choices(text: str) -> tuple[tuple[Choice, ...], str, str]:
    """The values in a comment, the description, and the error in it (empty if there is none)."""
    rest, meaning = text.strip(), ""
    remark = _REMARK.search(rest)
    if remark is not None:
        rest, meaning = rest[: remark.start()].strip(), remark["remark"].strip()
    choices: list[Choice] = []
    while rest:
        match = _CHOICE.match(rest)
        if match is None:
            why = f"{rest[:30]!r} is not a value; write numbers or names with spaces between"
            return (), "", why
        choices.append(Choice(token=match["token"], label=match["label"] or ""))
        rest = rest[match.end() :].lstrip()
    names = [part.strip() for part in meaning.split(",")]
    if len(names) == len(choices) and all(names) and not any(c.label for c in choices):
        choices = [
            Choice(token=c.token, label=name) for c, name in zip(choices, names, strict=True)
        ]
        meaning = ""
    tokens = {c.token for c in choices}
    if len(tokens) != len(choices):
        return (), "", "a value is declared twice"
    if len(choices) < 2:
        return (), "", "a tunable needs at least two values"
    if len(choices) > MAX_VALUES:
        return (), "", f"{len(choices)} values; the limit is {MAX_VALUES}"
    return tuple(choices), meaning, ""


@lru_cache(maxsize=4096)  # cached because the tuner parses the same few tokens again and again
def _number(token: str) -> float | None:
    text = token.replace("'", "")
    try:
        if re.fullmatch(r"[+-]?0[xX][0-9a-fA-F]+[uUlL]*", text):
            return float(int(text.rstrip("uUlL"), 16))
        return float(text.rstrip("uUlLfF"))
    except ValueError:
        return None


def parse(candidate: Candidate) -> tuple[Tunable, ...]:
    """All tunables of a candidate, in the order of files and lines.

    If a name is declared twice, the first declaration counts.
    """
    tunables: dict[str, Tunable] = {}
    for file, text in candidate.files.items():
        for tunable in _parse_text(file, text)[0]:
            tunables.setdefault(tunable.name, tunable)
    return tuple(tunables.values())


def flaws(candidate: Candidate) -> tuple[Flaw, ...]:
    """Declarations that could not be read, with the reason."""
    return tuple(f for name, text in candidate.files.items() for f in _parse_text(name, text)[1])


def point(tunables: Iterable[Tunable]) -> dict[str, str]:
    return {t.name: t.current.token for t in tunables}


def apply(candidate: Candidate, values: Point) -> Candidate:
    """A copy of the candidate with tunables set; every other byte stays as it is.

    Raises KeyError for a name that is not declared, ValueError for a value that is not offered.
    """
    known = {t.name: t for t in parse(candidate)}
    edits: dict[str, list[tuple[int, int, str]]] = {}
    for name, token in values.items():
        tunable = known[name]
        choice = tunable.find(token)
        if choice is None:
            offered = ", ".join(str(c) for c in tunable.choices)
            raise ValueError(f"{name} cannot be {token}; it may be {offered}")
        if choice != tunable.current:
            edit = (tunable.start, tunable.end, choice.token)
            edits.setdefault(tunable.file, []).append(edit)
    files = dict(candidate.files)
    for file, places in edits.items():
        text = files[file]
        for start, end, token in sorted(places, reverse=True):
            text = text[:start] + token + text[end:]
        files[file] = text
    return Candidate(files=files)


def size(tunables: Iterable[Tunable]) -> int:
    """Number of different combinations of the tunables' values."""
    total = 1
    for tunable in tunables:
        total *= len(tunable.choices)
    return total
