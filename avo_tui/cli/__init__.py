"""The command line `avo`; connects the packages, with little code of its own."""

import sys

from avo_tui import garbage


def main() -> None:
    """The entry point of `avo`."""
    garbage.hold()
    from avo_tui.cli.main import run

    garbage.release()
    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
