"""Commands about one task: `avo task check NAME` says what its check lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from avo_tui.cli.reading import Json

_HELP = "Look at one task."


def register(app: typer.Typer) -> None:
    """Add the group `task` to the commands."""
    group = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
    group.command(epilog="Example: avo task check attention_cpu")(check)
    group.callback()(_group)
    app.add_typer(group, name="task")


def _group() -> None:
    """Look at one task."""


def check(
    name: Annotated[str, typer.Argument(help="The task, as `avo tasks` lists it.")],
    as_json: Json = False,
) -> None:
    """Say which kinds of case a task's check lacks, and which mistakes it lets through.

    Runs no candidate. Exit status 1 where something is missing.
    """
    from avo_tui.cli.forms import emit
    from avo_tui.evaluation.coverage import gaps
    from avo_tui.evaluation.tasks import find_tasks

    task = find_tasks().get(name)
    found = list(gaps(task))
    if as_json:
        emit({"task": name, "cases": len(task.check_cases()), "gaps": found})
    else:
        for sentence in found:
            typer.echo(f"- {sentence}")
        if not found:
            typer.echo(f"{name}: nothing is missing in its {len(task.check_cases())} cases")
    if found:
        raise typer.Exit(1)
