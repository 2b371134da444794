"""The command line `avo`; connects the packages, with little code of its own."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `avo`."""
    from avo_tui.cli.main import run

    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
