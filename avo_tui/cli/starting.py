"""`avo run` and `avo demo`: start a session, or go on with one."""

from __future__ import annotations

import re
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli import opening
from avo_tui.cli.app import open_app
from avo_tui.cli.errors import Failure
from avo_tui.cli.notify import start_watcher
from avo_tui.cli.opening import default_operator, make_session, with_defaults
from avo_tui.cli.options import parse_pairs
from avo_tui.cli.parameters import session_names, task_names
from avo_tui.cli.referring import Wanted, adopt, sentence
from avo_tui.cli.session_trust import require_agreement
from avo_tui.cli.terminal import in_terminal
from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.commands import SetBudget
from avo_tui.domain.run_settings import OperatorName, RunSettings
from avo_tui.evolution.lifecycle.headless import Printer
from avo_tui.evolution.options import changed_settings
from avo_tui.evolution.process import EngineFailed, run_engine, start_engine, start_keeper
from avo_tui.evolution.run import EngineMode
from avo_tui.operators import registry
from avo_tui.operators.recorded.recording import load
from avo_tui.settings import settings
from avo_tui.store import (
    SessionReader,
    SessionWriter,
    engine_status,
    find_session,
    send_command,
    session_folders,
    sessions_roots,
)


def evaluator_url(text: str) -> str:
    """What `--evaluator` is given. An unset variable of a script must not mean this machine."""
    if not text.strip():
        raise typer.BadParameter("name a place to measure, such as ssh://HOST, or leave it out")
    return text


Evaluators = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluator",
        metavar="URL",
        parser=evaluator_url,
        help="Where to measure: local, ssh://HOST, spool:FOLDER; may be given several times.",
    ),
]


class GateChoice(StrEnum):
    """Gates that `--gate` takes."""

    strict = "strict"
    paper = "paper"
    vector = "vector"


class Approvals(StrEnum):
    """What the person wants to approve."""

    commits = "commits"


DEMO_TASK = "attention_cpu"

Headless = Annotated[
    bool, typer.Option("--headless", help="No app: run here and print one line per event.")
]


app = typer.Typer()


@app.command(epilog="Example: avo demo")
def demo(
    headless: Headless = False,
    hours: Annotated[
        float | None,
        typer.Option("--budget-hours", min=0.001, help="Ends after so many hours of running."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Ends after so many steps.")
    ] = None,
    agent: Annotated[
        bool,
        typer.Option("--agent", help="Play a recorded conversation of an agent; scores are real."),
    ] = False,
) -> None:
    """Evolve a CPU attention kernel with the tuner: no key, no GPU, nothing to set up."""
    headless = headless or not in_terminal()
    live, name = demo_name("demo-agent" if agent else "demo")
    if live is not None:
        notice = f"attaching to {live.name}, which is running"
        follow_session(live, notice) if headless else open_app(live)
        return
    caps = Caps(hours=hours or settings().demo_hours, steps=steps)
    # The tuner only changes constants of a source that ships: it may go on where a candidate of
    # unknown origin may not. The screen says so.
    options: dict[str, str | int | float | bool] = {} if agent else {"allow_weak_sandbox": True}
    chosen = with_defaults(
        RunSettings(
            operator="recorded" if agent else "tuner", budget=Budget(run=caps), options=options
        )
    )
    start_session(make_session(name, DEMO_TASK, chosen), headless=headless)


@app.command(epilog="Example: avo run attention_cpu --operator tuner --budget-hours 1")
def run(
    task: Annotated[
        str | None,
        typer.Argument(
            help="A task, or a repository's folder; `avo tasks` lists them.",
            autocompletion=task_names,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option("--resume", help="Go on with this session.", autocompletion=session_names),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the session.")] = None,
    operator: Annotated[
        str | None,
        typer.Option("--operator", help="What makes the steps; `avo operators` lists them."),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            metavar="COMMAND",
            help="Start this agent and let it make the steps; it speaks the Agent Client Protocol,"
            " such as 'opencode acp'.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model of the agent.")] = None,
    budget_usd: Annotated[float | None, typer.Option("--budget-usd", min=0)] = None,
    budget_hours: Annotated[float | None, typer.Option("--budget-hours", min=0)] = None,
    budget_evaluations: Annotated[int | None, typer.Option("--budget-evaluations", min=0)] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=0, help="Steps in all.")] = None,
    gate: Annotated[GateChoice | None, typer.Option("--gate", help="Acceptance gate.")] = None,
    approve: Annotated[
        Approvals | None, typer.Option("--approve", help="Ask before each commit.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--from", help="What to start from: SESSION:VERSION, or a path.")
    ] = None,
    evaluator: Evaluators = None,
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices",
            metavar="LIST",
            help="Devices to use at once: 0,1 or 0-1,2-3 or all.",
        ),
    ] = None,
    recording: Annotated[
        Path | None,
        typer.Option("--recording", help="Play an exported conversation; scores are measured."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the tuner's chance.")] = 0,
    weak: Annotated[
        bool,
        typer.Option("--allow-weak-sandbox", help="Go on where candidates cannot be confined."),
    ] = False,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option; `avo set NAME` lists them."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            help="Make the task of a PyTorch module or another reference; see avo task from.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    language: Annotated[
        str, typer.Option("--language", help="With --reference: cpp or cuda.")
    ] = "cpp",
    headless: Headless = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Start the engine again whenever it is lost."),
    ] = False,
) -> None:
    """Start a session and open it, or go on with one."""
    if keep and headless:
        raise typer.BadParameter("--headless is one process; use avo service", param_hint="--keep")

    caps = Caps(usd=budget_usd, hours=budget_hours, evaluations=budget_evaluations, steps=steps)
    if resume is not None:
        if task is not None or name is not None or origin is not None:
            raise typer.BadParameter(
                "--resume takes no task, name or origin", param_hint="--resume"
            )
        if options:
            raise typer.BadParameter("for a session that exists: avo set", param_hint="--set")
        resume_session(resume, caps, headless=headless, keep=keep, weak=weak)
        return
    if agent is not None and (recording is not None or operator not in {None, "acp"}):
        raise typer.BadParameter("an agent is its own operator: acp", param_hint="--agent")
    if recording is not None:
        if operator is not None or model is not None:
            raise typer.BadParameter(
                "a recording is its own operator and model", param_hint="--recording"
            )
        task = _recorded_task(recording, task)
    if reference is not None:
        task = _task_of_reference(reference, task, language)
    if task is None:
        raise typer.BadParameter("name a task, or --resume a session", param_hint="TASK")
    info = opening.find_task(task)
    if not headless and not in_terminal():
        raise Failure("there is no terminal for the app; use --headless")
    chosen = opening.with_defaults(
        RunSettings(
            operator=_operator("acp" if agent is not None else operator, recording),
            model=model,
            gate=gate.value if gate is not None else settings().gate,
            approve_commits=approve is Approvals.commits,
            budget=Budget(run=caps),
            random_seed=seed,
            evaluator=opening.evaluators(evaluator),
            devices=devices,
            recording=str(recording.absolute()) if recording is not None else None,
            options={
                **({"allow_weak_sandbox": True} if weak else {}),
                **({"acp.agent": agent} if agent is not None else {}),
            },
        )
    )
    if options:
        chosen = changed_settings(chosen, parse_pairs(options))
    opening.check(chosen, info)
    for line in opening.estimate(chosen):
        typer.echo(line, err=True)
    folder = opening.make_session(name or free_name(info.name), info.name, chosen, origin)
    start_session(folder, headless=headless, keep=keep)


def _task_of_reference(file: Path, task: str | None, language: str) -> str:
    """The name of the task that is made of a reference; `task` is its name where one is given."""
    name, spec = adopt(file, task, Wanted(language))
    typer.echo(f"task {name}: {sentence(spec)}", err=True)
    for remark in spec.remarks:
        typer.echo(f"note: {remark}", err=True)
    return name


def _recorded_task(recording: Path, task: str | None) -> str:
    """The task of a recording. Raises ValueError, or Failure where another one is named."""
    recorded = load(str(recording.absolute())).task
    if task is not None and task != recorded:
        raise Failure(f"the recording is of {recorded}, not of {task}")
    return recorded


def _operator(chosen: str | None, recording: Path | None) -> OperatorName:

    if recording is not None:
        return "recorded"
    if chosen is None:
        return default_operator()
    try:
        return registry.descriptor(chosen).name
    except registry.UnknownOperator as error:
        raise typer.BadParameter(str(error), param_hint="--operator") from error


def _allow_weak(folder: Path) -> None:
    """Put on record that a session's candidates may run where nothing confines them."""
    writer = SessionWriter.open(folder)
    try:
        writer.record(ev.OptionsChanged(options={"allow_weak_sandbox": True}))
    finally:
        writer.close()


def resume_session(name: str, caps: Caps, *, headless: bool, keep: bool, weak: bool) -> None:
    """Go on with a session: attach to its engine where one runs, else start one.

    `caps` that are not None replace the session's. `keep` has a second process start the engine
    again whenever it is lost; `weak` lets candidates run where nothing confines them.
    """
    folder = find_session(name)
    require_agreement(folder)
    if weak:
        if engine_status(folder / "engine.lock").alive:
            raise typer.BadParameter(
                f"{folder.name} is running; stop it first: avo stop {folder.name}",
                param_hint="--allow-weak-sandbox",
            )
        _allow_weak(folder)
    given = caps.model_dump(exclude_none=True)
    if given:
        budget = SessionReader.open(folder).state.session.budget
        merged = budget.run.model_copy(update=given)
        send_command(folder, SetBudget(budget=Budget(run=merged, step=budget.step)))
    if engine_status(folder / "engine.lock").alive:
        notice = f"{folder.name} is running already"
        if keep:
            kept = start_keeper(folder) is None
            typer.echo(f"{folder.name} is kept alive {'already' if kept else 'from now on'}")
        follow_session(folder, notice) if headless else open_app(folder)
        return
    start_session(folder, headless=headless, resume=True, keep=keep)


def start_lost(folder: Path) -> str:
    """Start the engine of a session that was lost; returns why that cannot be, or nothing."""
    try:
        require_agreement(folder)
        start_engine(folder)
        start_watcher()
    except Failure as refusal:
        return str(refusal)
    except EngineFailed as error:  # without a key, say; the session can be viewed nevertheless
        return f"The engine was lost and could not be started: {error}"
    return ""


def start_session(
    folder: Path, *, headless: bool, resume: bool = False, keep: bool = False
) -> None:
    """Start the engine of a session: in this process, or detached and then the app."""
    if headless:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        typer.echo(f"session {folder.name} at {folder}", err=True)
        start_watcher()
        mode = EngineMode(unattended=True)
        run_engine(folder, listeners=[Printer(sys.stdout)], resume=resume, mode=mode)
        state = SessionReader.open(folder).state
        if not state.versions and state.session.state == "stopped":
            raise Failure(state.session.state_reason or "the run ended before its first version")
        return

    start_engine(folder, resume=resume)
    start_watcher()
    if keep:
        start_keeper(folder)
    open_app(folder)


def follow_session(folder: Path, notice: str) -> None:
    """Print a notice, then the events of a run that another process makes, until it ends."""
    reader, printer = SessionReader.open(folder), Printer(sys.stdout)
    typer.echo(notice, err=True)  # whatever comes after this is printed
    while True:
        alive = reader.engine().alive  # asked first: its last words are read after its end
        events = reader.poll()
        for event in events:
            printer(event)
        if not events:
            if not alive:
                return
            time.sleep(0.2)


def demo_name(base: str) -> tuple[Path | None, str]:
    """(folder of a demo that runs, a free name for a new one)."""
    taken = set()
    live = None
    for folder in session_folders():
        if re.fullmatch(rf"{base}(-\d+)?", folder.name):
            if engine_status(folder / "engine.lock").alive:
                live = live or folder
            taken.add(folder.name)
    root = sessions_roots()[0]
    number = 1
    while True:
        name = base if number == 1 else f"{base}-{number}"
        if name not in taken and not (root / name).exists():
            return live, name
        number += 1


def free_name(task: str) -> str:
    """A name for a new session of a task: the task's, with a number where that is taken."""
    plain = task.replace("@", "-")  # of a task in a further language
    root, number = sessions_roots()[0], 1
    while True:
        name = plain if number == 1 else f"{plain}-{number}"
        if not (root / name).exists():
            return name
        number += 1
