"""What is asked of a terminal, and printed in one: sentences, tables, JSON documents."""

import json
import sys
from collections.abc import Iterable
from typing import Any

import typer

from avo_tui.domain.plain import plain


def in_terminal() -> bool:
    """True where the app can be shown and the person asked."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def say(*lines: str) -> None:
    for line in lines:
        typer.echo(line)


def tell(*lines: str) -> None:
    """Print on standard error what is not the answer."""
    for line in lines:
        typer.echo(line, err=True)


def emit(form: dict[str, Any]) -> None:
    """Print one JSON document on standard output. Names of fields never change; some may be
    added."""
    sys.stdout.write(json.dumps(form, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def table(rows: Iterable[list[str]], header: list[str]) -> None:
    """Print left-aligned columns. Text from outside is made safe for the terminal."""
    safe = [header, *([plain(cell, 100) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in safe) for i in range(len(header))]
    for row in safe:
        typer.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
