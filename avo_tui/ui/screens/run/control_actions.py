"""Actions that steer the run: pause, hint, rewind, stop, budget, approval, the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.budget import Budget
from avo_tui.domain.commands import (
    AbortStep,
    Approve,
    ClearHint,
    Pause,
    Reject,
    Resume,
    Rewind,
    SendHint,
    SetBudget,
    SetOptions,
    Stop,
)
from avo_tui.ui import dialogs, formats, places
from avo_tui.ui.actions import Action, Reason
from avo_tui.ui.screen import (
    changeable,
    engine_alive,
    engine_gone,
    in_step,
    takes_commands,
    wants_approval,
)
from avo_tui.ui.screens.run.parts import RunParts
from avo_tui.ui.text import Line, line, one_line

if TYPE_CHECKING:
    from avo_tui.ui.dialogs.options import Changes

PAUSED = {"paused": "resume", "pausing": "go on", "parked": "go on now"}
"""Run states that the key `p` ends, with the label of the action."""


def on_version_commanded(run: RunParts) -> Reason:
    """A version, and an engine that takes the command."""
    reason = takes_commands(run)
    if reason is not None:
        return reason
    if run.scene.version_in_hand is not None:
        return None
    filtered = bool(run.scene.lineage.needle)
    return "no row passes the filter: esc ends it" if filtered else "there is no version yet"


def _pause(run: RunParts) -> None:
    if run.known.run_state in PAUSED:
        run.host.send(Resume(), "going on")
    else:
        run.host.send(Pause(mode="after_tool"), "pausing after this tool; p goes on")


def _pause_label(run: RunParts) -> str:
    return "pause" if run.snapshot is None else PAUSED.get(run.snapshot.run_state, "pause")


PAUSE = Action(
    "pause",
    "p",
    "pause",
    "Pause after this tool; pressed again, go on.",
    "control",
    run=_pause,
    why_not=engine_alive,
    footer=10,
    label_now=_pause_label,
)


def _pause_menu(run: RunParts) -> None:
    words = {"after_tool": "after this tool", "after_step": "after this step", "now": "now"}

    def chosen(mode: str | None) -> None:
        if mode is not None:
            run.host.send(Pause(mode=mode), f"pausing {words[mode]}; p goes on")

    run.host.push_screen(dialogs.PauseMenu(), chosen)


PAUSE_MENU = Action(
    "pause_menu",
    "P",
    "pause how",
    "Pause after this tool, after this step, or now.",
    "control",
    run=_pause_menu,
    why_not=engine_alive,
)


def _hint(run: RunParts) -> None:
    traits = run.known.session.settings.operator_traits

    def written(hint: SendHint | None) -> None:
        if hint is not None:
            run.host.send(hint, f"hint sent: delivered {dialogs.moments(traits)[hint.delivery]}")

    def clear(hint: str) -> None:
        run.host.send(ClearHint(hint=hint), "hint cleared")

    run.host.push_screen(dialogs.HintDialog(list(run.known.hints.values()), traits, clear), written)


HINT = Action(
    "hint",
    "h",
    "hint",
    "Tell the operator something, now or at its next tool.",
    "control",
    run=_hint,
    why_not=takes_commands,
    footer=12,
)


def _rewind(run: RunParts) -> None:
    number = run.version.number

    def reason(text: str | None) -> None:
        if text is not None:
            run.host.send(Rewind(version=number, reason=text), f"rewinding to v{number}")
            run.walk.live()

    run.host.push_screen(dialogs.RewindDialog(run.known, number), reason)


REWIND = Action(
    "rewind",
    "w",
    "rewind",
    "Make any version the head; what came after becomes a branch.",
    "control",
    run=_rewind,
    why_not=on_version_commanded,
    footer=14,
)


def _abort(run: RunParts) -> None:
    step = run.known.live.number

    def reason(text: str | None) -> None:
        if text is not None:
            run.host.send(AbortStep(reason=text), f"ending step {step}")

    question = (
        f"Step {step} ends without a version and the next one begins. Why? (may be left empty)"
    )
    run.host.push_screen(dialogs.TextDialog("Abort the step", question, "abort"), reason)


ABORT = Action(
    "abort",
    "x",
    "abort step",
    "End this step and go on with the next.",
    "control",
    run=_abort,
    why_not=in_step,
)


def _stop(run: RunParts) -> None:
    name = run.known.session.name

    def sure(yes: bool | None) -> None:
        if yes:
            run.host.send(Stop(), "stopping the run")

    question = (
        f"The engine of {name} ends its step and stops. Nothing is lost; R goes "
        "on with it later. To leave the screen while the run goes on, press q instead."
    )
    run.host.push_screen(
        dialogs.Confirm("Stop the run?", question, "stop the run", _kept(run)), sure
    )


def _kept(run: RunParts) -> list[Line]:
    """A list of what remains of a stopped run."""
    snapshot, rows = run.known, [line("")]
    if snapshot.best is not None:
        number = snapshot.best.number
        value = formats.ratio(snapshot.aggregates.get(number, 0.0))
        reference = one_line(snapshot.session.task.reference_baseline)
        rows.append(
            line(("★ ", "best"), (f"v{number}", "best"), f"  {value} ", (f"of {reference}", "dim"))
        )
    counts = f"{len(snapshot.versions)} versions, {len(snapshot.attempts)} attempts are kept"
    return [*rows, line((counts, "dim"))]


STOP = Action(
    "stop",
    "S",
    "stop",
    "End the run, after a confirmation.",
    "control",
    run=_stop,
    why_not=engine_alive,
    footer=26,
)


def _budget(run: RunParts) -> None:
    def given(budget: Budget | None) -> None:
        if budget is not None:
            run.host.send(SetBudget(budget=budget), f"caps: {dialogs.budget_text(budget)}")

    run.host.push_screen(dialogs.BudgetDialog(run.known), given)


BUDGET = Action(
    "budget",
    "b",
    "budget",
    "Change what the run may spend.",
    "control",
    run=_budget,
    why_not=takes_commands,
    footer=28,
)


def _options(run: RunParts) -> None:
    services, settings = run.host.services, run.known.session.settings
    if services.options is None or services.check_options is None:
        run.host.notify("the settings cannot be changed from here: use avo set", markup=False)
        return
    try:
        options = services.options(settings)
    except ValueError as error:  # the operator is not installed here
        run.host.notify(str(error), severity="error", markup=False)
        return

    def given(changes: Changes | None) -> None:
        if changes:
            run.host.send(SetOptions(options=changes), f"set {', '.join(changes)}")

    run.host.push_screen(dialogs.OptionsDialog(settings, options, services.check_options), given)


OPTIONS = Action(
    "options",
    "s",
    "settings",
    "Change the agent's model or effort, and other settings of this run.",
    "control",
    run=_options,
    why_not=takes_commands,
)

APPROVE = Action[RunParts](
    "approve",
    "A",
    "approve",
    "Let the waiting attempt become a version.",
    "control",
    run=lambda run: run.host.send(Approve(), "approved"),
    why_not=wants_approval,
    footer=7,
)


def _reject(run: RunParts) -> None:
    def reason(text: str | None) -> None:
        if text is not None:
            run.host.send(Reject(reason=text), "rejected")

    question = "The attempt does not become a version. Why? The operator is told."
    run.host.push_screen(dialogs.TextDialog("Reject", question, "reject"), reason)


REJECT = Action(
    "reject",
    "X",
    "reject",
    "Turn the waiting attempt down, with a reason.",
    "control",
    run=_reject,
    why_not=wants_approval,
    footer=8,
)


def ask_approval(run: RunParts) -> None:
    """Tell that an attempt waits for the person."""
    assert run.known.pending_approval is not None
    attempt, decision = run.known.pending_approval
    run.host.notify(
        f"attempt {attempt} waits for you: {decision.reason}. A approves, X rejects",
        title="Approval",
        timeout=30,
        markup=False,
    )


def _start(run: RunParts) -> None:
    host, feed = run.host, run.host.session.feed
    start = host.services.start_engine
    if start is None or feed is None:
        return
    folder = feed.source.folder
    host.agreed(folder, lambda: start_engine(run, start, folder))


def start_engine(run: RunParts, start: Callable[[Path], object], folder: Path) -> None:
    """Start the engine in a thread; its error is shown."""
    host = run.host
    host.notify("starting the engine …", timeout=3)

    def work() -> None:
        try:
            start(folder)
        except Exception as error:  # its sentence is for the person
            text = str(error) or type(error).__name__
            host.call_from_thread(host.notify, text, severity="error", timeout=10, markup=False)
        else:
            if host.session.feed is not None:
                host.session.feed.wake()

    run.scene.screen.run_worker(
        work, thread=True, group="start", exclusive=True, exit_on_error=False
    )


def _start_label(run: RunParts) -> str:
    if run.snapshot is not None and not run.snapshot.own:
        return "go on …"
    lost = run.snapshot is not None and run.snapshot.run_state == "lost"
    return "restart the engine" if lost else "go on"


START = Action(
    "start",
    "R",
    "go on",
    "Start the engine and go on with the run.",
    "control",
    run=_start,
    why_not=engine_gone,
    footer=9,
    label_now=_start_label,
)

SUPERVISE = Action[RunParts](
    "supervise",
    "i",
    "intervene",
    "The supervisor: what it did, and trigger, edit or dismiss an intervention.",
    "control",
    run=lambda run: run.host.go(places.Supervisor()),
    why_not=changeable,
)
