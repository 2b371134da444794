"""Cleans text received from a model or server so that it can be stored and sent."""

from __future__ import annotations

from typing import Any

DEEPEST = 40
"""Largest nesting depth of a tool call's arguments; no tool needs more than three."""


def clean_text(text: str) -> str:
    """The text as valid Unicode: surrogate pairs are joined, single surrogates replaced."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean_strings(value: Any) -> Any:
    """A JSON value in which every string is cleaned, including names of members.

    Raises RecursionError for a value that is nested too deeply.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(str(k)): clean_strings(v) for k, v in value.items()}
    if isinstance(value, list):
        return [clean_strings(v) for v in value]
    return value


def clean_json(value: Any, depth: int = 0) -> Any:
    """A JSON value with every string cleaned. Raises ValueError for a value that JSON cannot hold.

    That is a number that is not finite or has too many digits, or excessive nesting.
    """
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} levels deep")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(str(k)): clean_json(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [clean_json(v, depth + 1) for v in value]
    if isinstance(value, float) and (value != value or value in {float("inf"), float("-inf")}):
        raise ValueError("a number that is not finite")
    if isinstance(value, int) and abs(value) > 10**300:
        raise ValueError("a number with hundreds of digits")
    return value
