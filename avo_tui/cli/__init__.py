"""The command line: `avo`. Thin; it wires the packages together."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `avo`."""
    from avo_tui.cli.main import run

    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
