"""Makes text from outside safe to show in a terminal."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

_PLAIN = re.compile(r"[\n\t -~]*")
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def safe(text: str) -> str:
    """Text with control and invisible characters shown as �; lines and tabs stay."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else "�"
        for c in text.replace("\r\n", "\n")
    )


Safe = Annotated[str, AfterValidator(safe)]
"""The type of a field that may hold text of a candidate, a compiler or a model."""


def plain(text: str, limit: int = 160) -> str:
    """One line of safe text, cut at `limit` characters."""
    shown = " ".join(safe(text.replace("\r", " ")).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
