"""What part of a long listing, such as a disassembly, is asked for."""

from __future__ import annotations

from avo_tui.domain.base import Value


class Window(Value):
    """Which lines of a listing are wanted."""

    first_line: int | None = None
    """First line, from 1; None: where the hottest loop begins."""
    lines: int | None = None
    """How many lines; None: as many as fit into one answer of a tool."""
