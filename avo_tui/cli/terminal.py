"""What is asked of a terminal, and printed in one."""

from __future__ import annotations

import sys

import typer

from avo_tui.domain.plain import plain


def in_terminal() -> bool:
    """True where the app can be shown and the person asked."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def table(rows: list[list[str]], header: list[str]) -> None:
    """Print left-aligned columns. Text from outside is made safe for the terminal."""
    safe = [header, *([plain(cell, 100) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in safe) for i in range(len(header))]
    for row in safe:
        typer.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
