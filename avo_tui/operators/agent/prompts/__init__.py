"""The prompts, as Markdown files beside this module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_FIELD = re.compile(r"\{\{(\w+)\}\}")


@cache
def prompt(name: str) -> str:
    """The text of `name`.md."""
    return (files(__name__) / f"{name}.md").read_text(encoding="utf-8").strip() + "\n"


def fill(name: str, values: Mapping[str, str]) -> str:
    """The prompt `name` with its {{fields}} filled in.

    Values are put in as they are; a field in a value is not looked at again. Raises KeyError for a
    field without a value.
    """
    return _FIELD.sub(lambda match: values[match.group(1)], prompt(name))


_TAG = re.compile(r"<(?=/?\s*(?:operator_message|supervisor)\b)", re.IGNORECASE)


def material(text: str) -> str:
    """A text from outside, in which nothing can pass for a message of the person or the supervisor.

    Sources, notes, logs and documents may contain `<operator_message>`, by chance or to be obeyed.
    """
    return _TAG.sub("&lt;", text)
