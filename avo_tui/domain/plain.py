"""Text of others for a terminal: without control characters and invisible ones."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

_PLAIN = re.compile(r"[\n\t -~]*")
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def safe(text: str) -> str:
    """Text in which lines and tabs stay and what could steer a terminal is shown as �."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else "�"
        for c in text.replace("\r\n", "\n")
    )


Safe = Annotated[str, AfterValidator(safe)]
"""A field of a record that may hold words of a candidate, a compiler or a model."""


def plain(text: str, limit: int = 160) -> str:
    """One line of safe text, cut at `limit` characters."""
    shown = " ".join(safe(text.replace("\r", " ")).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
