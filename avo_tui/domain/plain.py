"""Text of others for a terminal: without control characters and invisible ones."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def safe(text: str) -> str:
    """Text in which lines and tabs stay and what could steer a terminal is shown as �."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else "�"
        for c in text.replace("\r\n", "\n")
    )


def plain(text: str, limit: int = 160) -> str:
    """One line of safe text, cut at `limit` characters."""
    shown = " ".join(safe(text.replace("\r", " ")).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
