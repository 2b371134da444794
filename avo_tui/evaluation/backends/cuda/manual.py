"""The manual for CUDA candidates, which is part of every CUDA task's description."""

from __future__ import annotations

from pathlib import Path


def manual() -> str:
    """Markdown: what a candidate is, the launch manifest, how it is judged."""
    return Path(__file__).with_name("manual.md").read_text(encoding="utf-8")
