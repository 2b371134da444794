"""The program `avo`: what every command has in common."""

import os
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from avo_tui import __version__
from avo_tui.cli.commands import Root
from avo_tui.cli.errors import set_debug

app = typer.Typer(
    name="avo",
    cls=Root,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"avo-tui {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Supervised evolution of compute kernels, in the terminal.

    Without a command the sessions screen opens. `avo demo` needs nothing else.
    """
    if debug or os.environ.get("AVO_DEBUG"):
        set_debug(True)
    # Not at the top: help and completion, which come here never, need no settings and no app.
    from avo_tui.cli.folders import take_from_settings

    take_from_settings()
    if context.invoked_subcommand is None:
        from avo_tui.cli.app import open_sessions_screen

        open_sessions_screen()


def run(arguments: Sequence[str]) -> int:
    """Run `avo` with these arguments; returns the exit status."""
    # torch works without NumPy, which is not needed here, and warns of it with a path of its own.
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
    rest = [a for a in arguments if a != "--debug"]
    if len(rest) != len(arguments):
        set_debug(True)
    try:
        result = app(args=rest, prog_name="avo", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return result if isinstance(result, int) else 0
