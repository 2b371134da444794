"""Commands about tasks and machines: tasks, evaluate, doctor, and the door to `knowledge`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli.checks import check_machine, check_model
from avo_tui.cli.json_output import emit
from avo_tui.cli.opening import find_task
from avo_tui.cli.parameters import Json, TaskName, session_names
from avo_tui.cli.terminal import table
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation.backends.cuda.toolkit import architecture_number
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.evaluators import LocalEvaluator
from avo_tui.evaluation.ports import BrokenTask, ProgressSink
from avo_tui.evaluation.report import ProgressLines, as_text
from avo_tui.evaluation.report import as_json as document
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.operators import registry
from avo_tui.settings import settings
from avo_tui.store import find_session
from avo_tui.store.doctor import diagnose

app = typer.Typer()


@app.command(epilog="Example: avo tasks")
def tasks(as_json: Json = False) -> None:
    """List the tasks; a broken one is named with its error."""
    tasks_here = find_tasks()
    listing = list(tasks_here.listing())
    if as_json:
        documents: dict[str, list[dict[str, object]]] = {"tasks": [], "broken": []}
        for item in listing:
            origin = {"origin": tasks_here.root(item.name).origin}
            kind = "broken" if isinstance(item, BrokenTask) else "tasks"
            documents[kind].append({**item.model_dump(mode="json"), **origin})
        emit(documents)
        return
    rows: list[list[str]] = []
    for item in listing:
        origin_words = tasks_here.root(item.name).origin
        if isinstance(item, TaskInfo):
            count = str(len(item.configurations))
            rows.append([item.name, item.language, item.device, count, origin_words, item.title])
        elif tasks_here.root(item.name).trusted:
            rows.append([item.name, "broken", "", "", origin_words, item.error])
    if rows:
        table(rows, ["task", "language", "device", "configurations", "from", "title"])
    else:
        typer.echo("there are no tasks; `avo task new NAME` makes one")
    for folder, names in tasks_here.untrusted.items():
        typer.echo(
            f"{folder} ({', '.join(names)}) is code that was not trusted yet: look at it, then "
            f"avo task trust {folder}",
            err=True,
        )


@app.command(epilog="Example: avo operators")
def operators(as_json: Json = False) -> None:
    """List what can make the steps; one that cannot be used here says why."""
    offered = [(d, d.unavailable()) for d in registry.offer()]
    broken = registry.broken()
    if as_json:
        rows = [
            {"name": d.name, "label": d.label, "unavailable": why, "models": list(d.models)}
            for d, why in offered
        ]
        emit({"operators": rows, "broken": list(broken)})
        return
    table([[d.name, why or d.label] for d, why in offered], ["operator", "what it is"])
    for sentence in broken:
        typer.echo(f"broken: {sentence}", err=True)


@app.command(epilog="Example: avo evaluate attention_cpu kernel.cpp --json")
def evaluate(
    task: TaskName,
    path: Annotated[
        Path | None, typer.Argument(help="A file or a folder; of a repository a patch, too.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compile, and check the small configurations only.")
    ] = False,
    arch: Annotated[
        str | None, typer.Option("--arch", help="Compile CUDA for this, such as sm_100a.")
    ] = None,
    weak: Annotated[
        bool,
        typer.Option("--allow-weak-sandbox", help="Run it also where it cannot be confined."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Score one candidate without a session: compile, check, benchmark."""
    info = find_task(task)
    candidate = read_candidate(path, info) if path is not None else None
    progress = None if as_json else _progress()
    evaluator = _evaluator(arch, weak)
    report = asyncio.run(_evaluate(evaluator, info.name, candidate, quick, progress))
    typer.echo(document(report) if as_json else safe(as_text(report)))
    if not report.correct:
        raise typer.Exit(1)


def _evaluator(arch: str | None, weak: bool) -> LocalEvaluator:

    if arch is not None:
        try:
            architecture_number(arch)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--arch") from error
    allowed = weak or settings().allow_weak_sandbox
    return LocalEvaluator(architecture=arch, allow_weak_sandbox=allowed)


async def _evaluate(
    evaluator: LocalEvaluator,
    task: str,
    candidate: Candidate | None,
    quick: bool,
    progress: ProgressSink | None,
) -> EvaluationReport:
    async with evaluator:
        given = candidate if candidate is not None else await evaluator.seed(task)
        if quick:
            return await evaluator.check(task, given, progress=progress, quick=True)
        return await evaluator.evaluate(task, given, progress=progress)


def _progress() -> ProgressSink:
    """Writes what is worth a line to standard error."""
    lines = ProgressLines()

    def write(progress: EvaluationProgress) -> None:
        line = lines.line(progress)
        if line:
            sys.stderr.write(f"{plain(line)}\n")

    return write


@app.command(epilog="Example: avo doctor demo --repair")
def doctor(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A session; without one the machine is checked.", autocompletion=session_names
        ),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    model: Annotated[
        bool, typer.Option("--model", help="Ask the agent's model one small question.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a session, or the machine: compiler, GPU, sandbox, key; or the agent's model."""
    if model:
        if name is not None or repair:
            raise typer.BadParameter("asks the model alone", param_hint="--model")

        rows = [{**row, "repaired": False} for row in check_model()]
    elif name is not None:
        rows = [
            {"level": f.level, "what": f.what, "sentence": f.sentence, "repaired": f.repaired}
            for f in diagnose(find_session(name), repair)
        ]
    else:
        if repair:
            raise typer.BadParameter("name the session to repair", param_hint="--repair")

        rows = [{**row, "repaired": False} for row in check_machine()]
    if as_json:
        emit({"session": name, "findings": rows})
    else:
        marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
        for row in rows:
            mended = " (mended)" if row["repaired"] else ""
            typer.echo(f"{marks[str(row['level'])]}  {row['what']}: {row['sentence']}{mended}")
    if any(row["level"] == "fail" and not row["repaired"] for row in rows):
        raise typer.Exit(1)
