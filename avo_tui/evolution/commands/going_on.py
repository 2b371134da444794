"""`pause`, `resume`, `stop` and `abort`: whether and how the run goes on."""

from __future__ import annotations

from avo_tui.domain.commands import PAUSE_WORDS, AbortStep, Pause, Resume, Stop
from avo_tui.domain.events import StateChanged
from avo_tui.evolution import steps
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused, short


def _pause(desk: Desk, command: Pause) -> CommandAnswer:
    desk.require_running()
    run = desk.run
    if run.state.session.state == "paused":
        raise Refused("the run is paused already")
    effect = f"pauses {PAUSE_WORDS[command.mode]}"

    def then() -> None:
        run.control.pause, run.control.pause_reason = command.mode, ""

    change = StateChanged(state="pausing", reason=effect, pause_mode=command.mode)
    return CommandAnswer(effect, (change,), then)


PAUSE = CommandSpec(
    Pause,
    _pause,
    summary=lambda command: f"pause {PAUSE_WORDS[command.mode]}",
    undo=lambda state, command: Resume(),
)


def _resume(desk: Desk, command: Resume) -> CommandAnswer:
    desk.require_running()
    control, state = desk.run.control, desk.run.state.session.state
    if state != "parked" and control.pause is None:
        raise Refused("the run is not paused")

    def then() -> None:
        control.skip_wait = state == "parked"
        control.pause, control.pause_reason = None, ""

    effects = {"parked": "the wait is cut short", "pausing": "the pause is called off"}
    return CommandAnswer(effects.get(state, "goes on"), (StateChanged(state="running"),), then)


RESUME = CommandSpec(Resume, _resume, undo=lambda state, command: Pause())


STOPPED = "as asked"


def _stop(desk: Desk, command: Stop) -> CommandAnswer:
    desk.require_running()
    run = desk.run
    reason = command.reason or STOPPED

    def then() -> None:
        run.control.stop = reason

    # recorded at once, so that an engine killed before its end does not count as lost
    change = StateChanged(state="stopped", reason=reason)
    effect = f"the run ends; go on with: avo run --resume {run.state.session.name}"
    return CommandAnswer(effect, (change,), then)


STOP = CommandSpec(Stop, _stop)


def _abort(desk: Desk, command: AbortStep) -> CommandAnswer:
    run = desk.run
    step = run.open_step
    if step is None:
        raise Refused("no step is running")
    reason = command.reason or "aborted by the person"
    effect = f"step {step.number} ends"
    if run.mode.only_inbox:
        return CommandAnswer(effect, steps.ending(run, "aborted", reason))
    return CommandAnswer(effect, then=lambda: run.control.end_step("aborted", reason))


ABORT = CommandSpec(AbortStep, _abort, summary=lambda command: short(command.reason))
