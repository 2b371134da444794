"""The commands of `avo`, put together. Each command imports what is heavy when it runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from avo_tui import __version__
from avo_tui.cli import (
    attempts,
    benching,
    campaign,
    comparing,
    control,
    docs,
    exporting,
    launching,
    machine,
    mcp,
    metrics,
    notes,
    notify,
    options,
    queries,
    seat,
    service,
    session_trust,
    submitting,
    suite,
    task,
    web,
    workers,
)
from avo_tui.cli.errors import Group, set_debug
from avo_tui.cli.folders import take_from_settings
from avo_tui.cli.needed_parameters import only

app = typer.Typer(
    name="avo",
    cls=Group,
    help="Supervised evolution of compute kernels, in the terminal.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
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
    take_from_settings()
    if context.invoked_subcommand is None:
        launching.open_sessions_screen()


launching.register(app)
queries.register(app)
attempts.register(app)
comparing.register(app)
exporting.register(app)
notes.register(app)
control.register(app)
submitting.register(app)
options.register(app)
suite.register(app)
campaign.register(app)
docs.register(app)
machine.register(app)
task.register(app)
session_trust.register(app)
seat.register(app)
benching.register(app)
mcp.register(app)
service.register(app)
notify.register(app)
metrics.register(app)
web.register(app)
workers.register(app)


def run(arguments: Sequence[str]) -> int:
    """Run `avo` with these arguments; returns the exit status."""
    # torch works without NumPy, which is not needed here, and warns of it with a path of its own.
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
    rest = [a for a in arguments if a != "--debug"]
    if len(rest) != len(arguments):
        set_debug(True)
    if rest and rest[0] == "knowledge":
        from avo_tui.knowledge.cli import app as knowledge

        app.add_typer(knowledge, name="knowledge")
    called = next((argument for argument in rest if not argument.startswith("-")), None)
    # a shell that completes asks for names of options too, in a way of its own
    program = app if "_AVO_COMPLETE" in os.environ else only(app, called)
    try:
        result = program(args=rest, prog_name="avo", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return result if isinstance(result, int) else 0
