"""Keeps credentials out of everything that is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

SECRET_VARIABLES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_WEBHOOK_SIGNING_KEY")
SECRET_FILES_OF = ("ANTHROPIC_IDENTITY_TOKEN",)
REDACTED = "[redacted]"


def secrets(environment: Mapping[str, str] | None = None, more: Iterable[str] = ()) -> list[str]:
    """Values that must not be written: keys of the environment and those given."""
    env = os.environ if environment is None else environment
    found = {env[name].strip() for name in (*SECRET_VARIABLES, *SECRET_FILES_OF) if env.get(name)}
    for line in env.get("ANTHROPIC_CUSTOM_HEADERS", "").splitlines():
        _, _, value = line.partition(":")
        found.add(value.strip())
    found.update(value.strip() for value in more)
    return sorted((value for value in found if len(value) >= 8), key=len, reverse=True)


def redactor(values: Iterable[str]) -> Callable[[str], str]:
    """A function that replaces each of the values, wherever it stands in a text."""
    kept = tuple(values)

    def redact(text: str) -> str:
        for value in kept:
            text = text.replace(value, REDACTED)
        return text

    return redact
