"""`pause`: the run stops after this tool, after this step, or immediately."""

from __future__ import annotations

from avo_tui.domain.commands import PAUSE_WORDS, Pause, Resume
from avo_tui.domain.events import StateChanged
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused


def _handle(desk: Desk, command: Pause) -> CommandAnswer:
    desk.require_running()
    run = desk.run
    if run.state.session.state == "paused":
        raise Refused("the run is paused already")
    effect = f"pauses {PAUSE_WORDS[command.mode]}"

    def then() -> None:
        run.control.pause, run.control.pause_reason = command.mode, ""

    change = StateChanged(state="pausing", reason=effect, pause_mode=command.mode)
    return CommandAnswer(effect, (change,), then)


SPEC = CommandSpec(
    Pause,
    _handle,
    summary=lambda command: f"pause {PAUSE_WORDS[command.mode]}",
    undo=lambda state, command: Resume(),
)
