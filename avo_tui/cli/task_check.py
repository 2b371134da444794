"""`avo task check`: what is wrong with a task, and what is weak."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.json_output import emit
from avo_tui.cli.opening import find_task
from avo_tui.cli.parameters import Json, TaskName
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation import task_dynamic_checks
from avo_tui.evaluation.case_coverage import SMALL_ELEMENTS, SMALL_FLOPS, gaps, recognised
from avo_tui.evaluation.measurement.cases import counted
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.shapes import public_configurations
from avo_tui.evaluation.task import CheckCase, Task
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.settings import settings


def check(
    name: TaskName,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit status 1 for what is weak, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run every method of a task on its cases: say what is wrong with it, and what is weak.

    Wrong: names, shapes, dtypes, inputs that do not follow from the seed alone, a perturbation
    whose promise is not true, a unit of which nothing is counted, a baseline that does not pass as
    a candidate, zeros that pass, a seed that does not compile. Weak: kinds of case that are
    missing, mistakes that its tolerance lets through. Runs no candidate. What it is looking at is
    told on standard error. Exit status 1 where anything is wrong, with --strict also where
    anything is weak.
    """
    watching = (lambda what: _silent) if as_json else _told
    with _no_exit(name):
        task = _loaded(name, as_json)
        faults = [
            fault.text(task)
            for fault in task_dynamic_checks.all_cases(
                task, SMALL_FLOPS, SMALL_ELEMENTS, watching("running its methods on")
            )
        ]
    if not as_json:
        typer.echo("compiling its seed", err=True)
    wrong, not_looked_at = _seed_compiled(task)
    faults += wrong
    with _no_exit(name):
        weak = list(gaps(task, watching("trying wrong outputs on"))) if not faults else []
    large = [
        c.name
        for c in public_configurations(task)
        if not task_dynamic_checks.small_enough(task, c, SMALL_FLOPS, SMALL_ELEMENTS)
    ]
    if large:
        not_looked_at.append(f"too large to be looked at here: {', '.join(large)}")
    cases = task.check_cases()
    if as_json:
        hidden = sum(case.hidden for case in cases)
        emit({
            "task": name, "cases": len(cases), "hidden_cases": hidden, "faults": faults,
            "gaps": weak, "recognised": list(recognised(task)), "too_large": large,
            "not_looked_at": not_looked_at,
        })  # fmt: skip
    else:
        for sentence in recognised(task):
            typer.echo(f"recognised: {sentence}")
        for sentence in faults:
            typer.echo(f"wrong: {sentence}")
        for sentence in weak:
            typer.echo(f"weak: {sentence}")
        if faults:
            typer.echo("what is weak is looked at when nothing is wrong any more")
        elif not weak:
            typer.echo(f"{name}: nothing is wrong or weak in its {counted(cases)}")
        else:
            typer.echo(f"{name}: nothing is wrong; it has {counted(cases)}")
        for sentence in not_looked_at:
            typer.echo(sentence)
    if faults or (weak and strict):
        raise typer.Exit(1)


@contextmanager
def _no_exit(name: str) -> Iterator[None]:
    """A task whose code ends the program is told so, and does not end it as if all were well."""
    try:
        yield
    except SystemExit as end:
        raise Failure(
            f"task {name}: its own code ended the program, as sys.exit({end.code!r}) does; let it "
            "raise an error with a sentence in place of that"
        ) from None


def _loaded(name: str, as_json: bool) -> Task:
    """The task. What keeps it from being loaded is the first thing that is wrong with it."""
    tasks = find_tasks()
    if name not in tasks.names or not tasks.root(name).trusted:
        find_task(name)  # asks for trust, or fails with similar names
        tasks = find_tasks()
    try:
        return tasks.load(name)
    except EvaluatorError as error:
        if as_json:
            emit({
                "task": name, "cases": 0, "hidden_cases": 0, "faults": [str(error)],
                "gaps": [], "recognised": [], "too_large": [], "not_looked_at": [],
            })  # fmt: skip
        else:
            typer.echo(f"wrong: {error}")
            typer.echo("its methods are run when it can be loaded")
        raise typer.Exit(1) from error


def _told(what: str) -> Callable[[int, int, CheckCase], None]:
    """Tells what is being looked at, one line for each case."""

    def tell(number: int, count: int, case: CheckCase) -> None:
        about = f"{case.configuration.name}, {case.distribution}"
        typer.echo(f"{what} {number} of {count} kinds of inputs: {about}", err=True)

    return tell


def _silent(number: int, count: int, case: CheckCase) -> None:
    """Tells nothing: only the JSON document is wanted."""


def _seed_compiled(task: Task) -> tuple[list[str], list[str]]:
    """(what is wrong with the seed as a source, why that could not be found out here)."""

    async def compiled() -> tuple[list[str], list[str]]:
        pipeline = Pipeline(allow_weak_sandbox=settings().allow_weak_sandbox)
        try:
            report = await pipeline.evaluate(task.name, task.seed(), "compile", lambda _: None)
        finally:
            await pipeline.close()
        if report.correct:
            return [], []
        why = report.feedback.summary
        if report.verdict is Verdict.HARNESS_ERROR:
            return [], [f"whether its seed compiles was not looked at: {why}"]
        folder = task.folder / task.seed_folder
        return [f"{folder}: the seed is refused ({report.verdict}): {why}"], []

    return asyncio.run(compiled())
