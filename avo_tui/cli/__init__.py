"""The command line `avo`; connects the packages, with little code of its own."""

import sys

from avo_tui import garbage


def main() -> None:
    """The entry point of `avo`."""
    try:
        garbage.hold()
        from avo_tui.cli.main import run

        garbage.release()
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:  # while it starts, or completes a word for a shell
        sys.exit(130)


__all__ = ["main"]
