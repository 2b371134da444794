"""Commands that start, open or attach to a run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avo_tui.cli.engine_start import follow_session, resume_session, start_session
from avo_tui.cli.errors import Failure
from avo_tui.cli.names import Evaluators, demo_name, free_name
from avo_tui.cli.notify import start_watcher
from avo_tui.cli.session_trust import require_agreement

if TYPE_CHECKING:
    from avo_tui.domain.run_settings import OperatorName


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


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: avo demo")(demo)
    app.command(epilog="Example: avo run attention_cpu --operator tuner --budget-hours 1")(run)
    app.command(epilog="Example: avo attach demo")(attach)
    app.command(epilog="Example: avo replay mha-hopper --speed 16")(replay)


def open_sessions_screen() -> None:
    """`avo` alone."""
    from avo_tui.cli.app import open_app
    from avo_tui.cli.opening import in_terminal

    if not in_terminal():
        from avo_tui.cli.queries import sessions

        sessions(as_json=False)
        return
    open_app()


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
    from avo_tui.cli.app import open_app
    from avo_tui.cli.opening import in_terminal, make_session, with_defaults
    from avo_tui.domain.budget import Budget, Caps
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.settings import settings

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


def run(
    task: Annotated[str | None, typer.Argument(help="A task; `avo tasks` lists them.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", help="Go on with this session.")] = None,
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
    from avo_tui.cli import opening
    from avo_tui.domain.budget import Budget, Caps
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.settings import settings

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
    if not headless and not opening.in_terminal():
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
        from avo_tui.cli.options import parse_pairs
        from avo_tui.evolution.options import changed_settings

        chosen = changed_settings(chosen, parse_pairs(options))
    opening.check(chosen, info)
    for line in opening.estimate(chosen):
        typer.echo(line, err=True)
    folder = opening.make_session(name or free_name(task), task, chosen, origin)
    start_session(folder, headless=headless, keep=keep)


def _task_of_reference(file: Path, task: str | None, language: str) -> str:
    """The name of the task that is made of a reference; `task` is its name where one is given."""
    from avo_tui.cli.referring import Wanted, adopt, sentence

    name, spec = adopt(file, task, Wanted(language))
    typer.echo(f"task {name}: {sentence(spec)}", err=True)
    for remark in spec.remarks:
        typer.echo(f"note: {remark}", err=True)
    return name


def _recorded_task(recording: Path, task: str | None) -> str:
    """The task of a recording. Raises ValueError, or Failure where another one is named."""
    from avo_tui.operators.recorded.recording import load

    recorded = load(str(recording.absolute())).task
    if task is not None and task != recorded:
        raise Failure(f"the recording is of {recorded}, not of {task}")
    return recorded


def _operator(chosen: str | None, recording: Path | None) -> OperatorName:
    from avo_tui.cli.opening import default_operator
    from avo_tui.operators import registry

    if recording is not None:
        return "recorded"
    if chosen is None:
        return default_operator()
    try:
        return registry.descriptor(chosen).name
    except registry.UnknownOperator as error:
        raise typer.BadParameter(str(error), param_hint="--operator") from error


def attach(
    name: Annotated[
        str | None, typer.Argument(help="A session; without one the latest that runs.")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--no-start", help="Do not start an engine that was lost.")
    ] = False,
) -> None:
    """Open the app on a session. An engine that was lost, not stopped, is started again."""
    from avo_tui.cli.app import open_app
    from avo_tui.cli.opening import in_terminal
    from avo_tui.store import SessionReader, find_session

    if name is None:
        from avo_tui.store import summaries

        sound = [s for s in summaries() if s.error is None]
        live = [s for s in sound if s.engine.alive]
        if not sound:
            raise Failure("there are no sessions; start one with `avo demo` or `avo run TASK`")
        folder = (live or sound)[0].folder
    else:
        folder = find_session(name)
    if not in_terminal():
        open_app(folder)  # says that there is no terminal
    reader = SessionReader.open(folder)
    notice = ""
    if not read_only and reader.run_state() == "lost":
        from avo_tui.evolution.process import EngineFailed, start_engine

        try:
            require_agreement(folder)
            start_engine(folder)
            start_watcher()
        except Failure as refusal:
            notice = str(refusal)
        except EngineFailed as error:
            # for example without a key; the session can be viewed nevertheless
            notice = f"The engine was lost and could not be started: {error}"
    open_app(source=reader, notice=notice)


def replay(
    name: Annotated[str, typer.Argument(help="A session, its own or one that ships with avo.")],
    speed: Annotated[
        float, typer.Option("--speed", min=0.1, max=1000, help="Times as fast as it went.")
    ] = 4.0,
) -> None:
    """Play a session from its start through the same screens; nothing is changed in it."""
    from avo_tui.cli.app import open_app
    from avo_tui.store import SessionReader, find_session
    from avo_tui.ui.session.replay import ReplaySource

    open_app(source=ReplaySource(SessionReader.open(find_session(name)), speed))
