"""Commands about tasks of one's own: new, from, check, trust."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli import referring
from avo_tui.cli.errors import Failure
from avo_tui.cli.queries import Json

_HELP = "Make a task of your own, look whether it is sound, trust a folder of tasks."


def register(app: typer.Typer) -> None:
    """Add the group `task` to the commands."""
    group = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
    group.command(epilog="Example: avo task check attention_cpu")(check)
    group.command(epilog="Example: avo task trust ./kernels")(trust)
    group.command("new", epilog="Example: avo task new my_kernel --language cpp")(new)
    group.command("from", epilog="Example: avo task from model.py --set batch_size=8")(
        referring.task_from
    )
    group.callback()(_group)
    app.add_typer(group, name="task")


def _group() -> None:
    """Make a task of your own, look whether it is sound, trust a folder of tasks."""


def check(
    name: Annotated[str, typer.Argument(help="The task, as `avo tasks` lists it.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit status 1 for what is weak, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run every method of a task on its cases: say what is wrong with it, and what is weak.

    Wrong: names, shapes, dtypes, inputs that do not follow from the seed alone, a baseline that
    does not pass as a candidate, zeros that pass. Weak: kinds of case that are missing, mistakes
    that its tolerance lets through. Runs no candidate. Exit status 1 where anything is wrong, with
    --strict also where anything is weak.
    """
    from avo_tui.cli.json_output import emit
    from avo_tui.cli.opening import find_task
    from avo_tui.evaluation import task_dynamic_checks
    from avo_tui.evaluation.case_coverage import SMALL_ELEMENTS, SMALL_FLOPS, gaps
    from avo_tui.evaluation.shapes import public_configurations
    from avo_tui.evaluation.tasks import find_tasks

    find_task(name)  # asks for trust, and suggests similar names
    task = find_tasks().get(name)
    faults = [
        fault.text(task)
        for fault in task_dynamic_checks.all_cases(task, SMALL_FLOPS, SMALL_ELEMENTS)
    ]
    weak = list(gaps(task)) if not faults else []
    large = [
        c.name
        for c in public_configurations(task)
        if not task_dynamic_checks.small_enough(task, c, SMALL_FLOPS, SMALL_ELEMENTS)
    ]
    if as_json:
        cases = len(task.check_cases())
        emit({"task": name, "cases": cases, "faults": faults, "gaps": weak, "too_large": large})
    else:
        for sentence in faults:
            typer.echo(f"wrong: {sentence}")
        for sentence in weak:
            typer.echo(f"weak: {sentence}")
        if faults:
            typer.echo("what is weak is looked at when nothing is wrong any more")
        elif not weak:
            typer.echo(f"{name}: nothing is missing in its {len(task.check_cases())} cases")
        if large:
            typer.echo(f"too large to be looked at here: {', '.join(large)}")
    if faults or (weak and strict):
        raise typer.Exit(1)


def trust(
    folder: Annotated[Path, typer.Argument(help="A folder of tasks, such as ./kernels.")],
) -> None:
    """Allow the code of a folder's tasks to run, from now on. Look at it before."""
    from avo_tui.evaluation import trust as trusted

    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder")
    inside = sorted(p.parent.name for p in folder.glob("*/task.py"))
    trusted.trust(folder)
    names = ", ".join(inside) or "no tasks yet"
    typer.echo(f"trusted: {folder.resolve()} ({names}); recorded in {trusted.record_file()}")


def new(
    name: Annotated[str, typer.Argument(help="Name of the task, and of its folder.")],
    language: Annotated[str, typer.Option("--language", help="cpp or cuda.")] = "cpp",
    to: Annotated[Path, typer.Option("--to", help="Folder of tasks to put it into.")] = Path(
        "kernels"
    ),
) -> None:
    """Make a small task that runs at once: RMSNorm, to be changed into your own.

    The folder is trusted, since what lies in it now comes from here.
    """
    from avo_tui.evaluation import trust as trusted
    from avo_tui.evaluation.tasks import find_tasks
    from avo_tui.evaluation.templates import write_template

    if not (to / name).exists() and name in find_tasks().names:
        raise Failure(f"there is a task {name} already, as avo tasks shows; choose another name")
    was_there = to.is_dir() and any(to.glob("*/task.py"))
    folder = write_template(name, language, to)
    if not was_there:
        trusted.trust(to)
    files = ", ".join(str(p) for p in sorted(folder.rglob("*")) if p.is_file())
    typer.echo(f"made {files}")
    typer.echo(f"try: avo task check {name}; avo evaluate {name}; avo run {name} --operator tuner")
    if name not in find_tasks().names:
        typer.echo(f"before that, so that avo looks there: export AVO_KERNELS={to.resolve()}")
