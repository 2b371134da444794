"""The prompts, as Markdown files beside this module."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_FIELD = re.compile(r"\{\{(\w+)\}\}")


@cache
def prompt(name: str) -> str:
    return (files(__name__) / f"{name}.md").read_text(encoding="utf-8").strip() + "\n"


def fill(name: str, values: Mapping[str, str]) -> str:
    """The prompt `name` with its {{fields}} filled in.

    Values are put in as they are; a field in a value is not looked at again. Raises KeyError for a
    field without a value.
    """
    return _FIELD.sub(lambda match: values[match.group(1)], prompt(name))


_HIDDEN = r"[^\w<>\n]*"
"""What a reader may not see between two letters: white space, control and zero-width characters."""
_TAG = re.compile(
    "<" + _HIDDEN + rf"(?:{_HIDDEN.join('operator')}[\W_]*{_HIDDEN.join('message')}"
    rf"|{_HIDDEN.join('supervisor')}(?!\w))",
    re.IGNORECASE,
)
_LOOK = str.maketrans("‹〈⟨❮˂аеорѕсіѵոօοερτυνιⲟᴏı", "<<<<<aeopscivnooeptuviooi")
"""Characters that look like those of a mark."""


def _plain(character: str) -> str:
    """The ASCII character that this one looks like, such as for one of full width or with an
    accent; else itself."""
    parts = unicodedata.normalize("NFKD", character.translate(_LOOK))
    plain = "".join(part for part in parts if not unicodedata.combining(part)).translate(_LOOK)
    return plain if len(plain) == 1 else character


def material(text: str) -> str:
    """A text from outside, in which nothing can pass for a message of the person or the supervisor.

    Sources, notes, logs and documents may contain `<operator_message>`, by chance or to be obeyed.
    """
    looks = text if text.isascii() else "".join(map(_plain, text))
    for mark in reversed(list(_TAG.finditer(looks))):
        text = f"{text[: mark.start()]}&lt;{text[mark.start() + 1 :]}"
    return text


def fenced(name: str, text: str) -> str:
    """A file as a block of code, whose fence is longer than any run of backticks inside it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(4, longest + 1)
    title = f"`{name}`\n" if name else ""
    return f"{title}{fence}\n{text.rstrip()}\n{fence}"
