"""`avo run` and `avo demo`: start a session, or go on with one."""

import re
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from typer import BadParameter, Option, Typer

from avo_tui.cli import opening
from avo_tui.cli.app import open_app
from avo_tui.cli.control import parse_pairs
from avo_tui.cli.errors import Failure
from avo_tui.cli.notify import start_watcher
from avo_tui.cli.parameters import (
    AnyTaskName,
    Evaluations,
    Hours,
    Steps,
    Tokens,
    Usd,
    operator_names,
    session_names,
)
from avo_tui.cli.referring import Wanted, adopt, derived_lines
from avo_tui.cli.session_trust import require_agreement
from avo_tui.cli.terminal import in_terminal, say, tell
from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.commands import SetBudget
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.lifecycle.headless import Printer
from avo_tui.evolution.options import changed_settings
from avo_tui.evolution.process import run_engine, start_engine, start_keeper
from avo_tui.evolution.run import EngineMode
from avo_tui.operators.recorded.recording import load
from avo_tui.settings import settings
from avo_tui.store import (
    SessionReader,
    SessionWriter,
    engine_status,
    find_session,
    send_command,
    session_folders,
)


def evaluator_url(text: str) -> str:
    """What `--evaluator` is given. An unset variable of a script must not mean this machine."""
    if not text.strip():
        raise BadParameter("name a place to measure, such as ssh://HOST, or leave it out")
    return text


Evaluators = Annotated[
    list[str] | None,
    Option(
        "--evaluator",
        metavar="URL",
        parser=evaluator_url,
        help="Where to measure: local, ssh://HOST, spool:FOLDER; may be given several times.",
    ),
]
Headless = Annotated[
    bool, Option("--headless", help="No app: run here and print one line per event.")
]

app = Typer()


@app.command(epilog="Example: avo demo")
def demo(
    headless: Headless = False,
    hours: Annotated[
        float | None,
        Option("--budget-hours", min=0.001, help="Ends after so many hours of running."),
    ] = None,
    steps: Annotated[int | None, Option(min=1, help="Ends after so many steps.")] = None,
    agent: Annotated[
        bool, Option("--agent", help="Play a recorded conversation of an agent; scores are real.")
    ] = False,
) -> None:
    """Evolve a CPU attention kernel with the tuner: no key, no GPU, nothing to set up."""
    headless = headless or not in_terminal()
    base = "demo-agent" if agent else "demo"
    live = running_demo(base)
    if live is not None:
        notice = f"attaching to {live.name}, which is running"
        follow_session(live, notice) if headless else open_app(live)
        return
    caps = Caps(hours=hours or settings().demo_hours, steps=steps)
    folder = opening.make_demo(caps, agent=agent)
    start_session(folder, headless=headless)


@app.command(epilog="Example: avo run attention_cpu --operator tuner --budget-hours 1")
def run(
    task: AnyTaskName = None,
    resume: Annotated[
        str | None, Option(help="Go on with this session.", autocompletion=session_names)
    ] = None,
    name: Annotated[str | None, Option(help="Name of the session.")] = None,
    operator: Annotated[
        str | None,
        Option(
            help="What makes the steps; `avo operators` lists them.", autocompletion=operator_names
        ),
    ] = None,
    agent: Annotated[
        str | None,
        Option(
            metavar="COMMAND",
            help="Start this agent and let it make the steps; it speaks the Agent Client Protocol,"
            " such as 'opencode acp'.",
        ),
    ] = None,
    model: Annotated[str | None, Option(help="Model of the agent.")] = None,
    usd: Usd = None,
    hours: Hours = None,
    evaluations: Evaluations = None,
    tokens: Tokens = None,
    steps: Steps = None,
    gate: Annotated[
        Literal["strict", "paper", "vector"] | None, Option(help="Acceptance gate.")
    ] = None,
    approve: Annotated[Literal["commits"] | None, Option(help="Ask before each commit.")] = None,
    origin: Annotated[
        str | None, Option("--from", help="What to start from: SESSION:VERSION, or a path.")
    ] = None,
    evaluator: Evaluators = None,
    devices: Annotated[
        str | None, Option(metavar="LIST", help="Devices to use at once: 0,1 or 0-1,2-3 or all.")
    ] = None,
    recording: Annotated[
        Path | None, Option(help="Play an exported conversation; scores are measured.")
    ] = None,
    seed: Annotated[int, Option(help="Seed of the tuner's chance.")] = 0,
    weak: Annotated[
        bool, Option("--allow-weak-sandbox", help="Go on where candidates cannot be confined.")
    ] = False,
    options: Annotated[
        list[str] | None,
        Option("--set", metavar="NAME=VALUE", help="An option; `avo set NAME` lists them."),
    ] = None,
    reference: Annotated[
        Path | None,
        Option(
            help="Make the task of a PyTorch module or another reference; see avo task from.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    language: Annotated[str, Option(help="With --reference: cpp or cuda.")] = "cpp",
    headless: Headless = False,
    keep: Annotated[
        bool, Option("--keep", help="Start the engine again whenever it is lost.")
    ] = False,
) -> None:
    """Start a session and open it, or go on with one."""
    if keep and headless:
        raise BadParameter("--headless is one process; use avo service", param_hint="--keep")
    caps = Caps(usd=usd, hours=hours, evaluations=evaluations, tokens=tokens, steps=steps)
    if resume is not None:
        kept = (
            ("--operator", operator), ("--agent", agent), ("--model", model), ("--gate", gate),
            ("--approve", approve), ("--evaluator", evaluator), ("--devices", devices),
            ("--recording", recording), ("--seed", seed or None), ("--reference", reference),
        )  # fmt: skip
        if task is not None or name is not None or origin is not None:
            raise BadParameter("--resume takes no task, name or origin", param_hint="--resume")
        if options:
            raise BadParameter("for a session that exists: avo set", param_hint="--set")
        for option, value in kept:
            _require_none(resume, option, value)
        resume_session(resume, caps, headless=headless, keep=keep, weak=weak)
        return
    if agent is not None and (recording is not None or operator not in {None, "acp"}):
        raise BadParameter("an agent is its own operator: acp", param_hint="--agent")
    if recording is not None:
        if operator is not None or model is not None:
            raise BadParameter(
                "a recording is its own operator and model", param_hint="--recording"
            )
        operator, task = "recorded", _task_of(recording, task)
    if reference is not None:
        task, spec = adopt(reference, task, Wanted(language))
        tell(*derived_lines(task, spec))
    if task is None:
        raise BadParameter("name a task, or --resume a session", param_hint="TASK")
    info = opening.find_task(task)
    if not headless and not in_terminal():
        raise Failure("there is no terminal for the app; use --headless")
    chosen = opening.with_defaults(
        RunSettings(
            operator=opening.named_operator("acp" if agent is not None else operator),
            model=model,
            gate=gate or settings().gate,
            approve_commits=approve is not None,
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
    tell(*opening.estimate(chosen))
    name = name or opening.free_name(info.name)
    folder = opening.make_session(name, info.name, chosen, origin)
    start_session(folder, headless=headless, keep=keep)


def _require_none(session: str, option: str, value: object) -> None:
    """Refuse an option whose value a session got when it was made, and keeps."""
    if value is not None:
        raise BadParameter(
            f"{session} keeps what it was started with; start another from one of its versions: "
            f"avo run TASK --from {session}:vN {option} …",
            param_hint=option,
        )


def _task_of(recording: Path, task: str | None) -> str:
    """The task of a recording; `task` is what the person named, which must be the same."""
    recorded = load(str(recording.absolute())).task
    if task not in {None, recorded}:
        raise Failure(f"the recording is of {recorded}, not of {task}")
    return recorded


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
            raise BadParameter(
                f"{folder.name} is running; stop it first: avo stop {folder.name}",
                param_hint="--allow-weak-sandbox",
            )
        _allow_weak(folder)
    given = caps.model_dump(exclude_none=True)
    if given:
        budget = SessionReader.open(folder).state.session.budget
        merged = budget.run.model_copy(update=given)
        send_command(folder, SetBudget(budget=budget.replaced(run=merged)))
    if engine_status(folder / "engine.lock").alive:
        notice = f"{folder.name} is running already"
        if keep:
            kept = start_keeper(folder) is None
            say(f"{folder.name} is kept alive {'already' if kept else 'from now on'}")
        follow_session(folder, notice) if headless else open_app(folder)
        return
    start_session(folder, headless=headless, resume=True, keep=keep)


def start_session(
    folder: Path, *, headless: bool, resume: bool = False, keep: bool = False
) -> None:
    """Start the engine of a session: in this process, or detached and then the app."""
    if headless:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        tell(f"session {folder.name} at {folder}")
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
    tell(notice)  # whatever comes after this is printed
    while True:
        alive = reader.engine().alive  # asked first: its last words are read after its end
        events = reader.poll()
        for event in events:
            printer(event)
        if not events:
            if not alive:
                return
            time.sleep(0.2)


def running_demo(base: str) -> Path | None:
    """The folder of a demo that runs."""
    demos = (f for f in session_folders() if re.fullmatch(rf"{base}(-\d+)?", f.name))
    return next((f for f in demos if engine_status(f / "engine.lock").alive), None)
