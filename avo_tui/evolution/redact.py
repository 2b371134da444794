"""Keeps secrets of the environment out of everything that is written down."""

from __future__ import annotations

import logging
import os
import re

SECRET_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)", re.IGNORECASE)
_SHAPES = re.compile(r"sk-[A-Za-z0-9_-]{16,}")
SHORTEST = 8


def redact(text: str) -> str:
    """The text without values of secret environment variables and without what looks like a key."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and SECRET_NAMES.search(name) and value in text:
            text = text.replace(value, f"[{name} removed]")
    return _SHAPES.sub("[key removed]", text)


class RedactingFormatter(logging.Formatter):
    """Formats log records, tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
