"""`resume`: ends a pause, or ends the waiting time of a parked run early."""

from __future__ import annotations

from avo_tui.domain.commands import Pause, Resume
from avo_tui.domain.events import StateChanged
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused


def _handle(desk: Desk, command: Resume) -> CommandAnswer:
    desk.require_running()
    control, state = desk.run.control, desk.run.state.session.state
    if state != "parked" and control.pause is None:
        raise Refused("the run is not paused")

    def then() -> None:
        control.skip_wait = state == "parked"
        control.pause, control.pause_reason = None, ""

    effects = {"parked": "the wait is cut short", "pausing": "the pause is called off"}
    return CommandAnswer(effects.get(state, "goes on"), (StateChanged(state="running"),), then)


SPEC = CommandSpec(Resume, _handle, undo=lambda state, command: Pause())
