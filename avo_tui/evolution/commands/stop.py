"""`stop`: ends the run in an orderly way."""

from __future__ import annotations

from avo_tui.domain.commands import Stop
from avo_tui.domain.events import StateChanged
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk

REASON = "stopped by the person"


def _handle(desk: Desk, command: Stop) -> CommandAnswer:
    desk.require_running()
    run = desk.run

    reason = command.reason or REASON

    def then() -> None:
        run.control.stop = reason

    # recorded at once, so that an engine killed before its end does not count as lost
    change = StateChanged(state="stopped", reason=reason)
    effect = f"the run ends; go on with: avo run --resume {run.state.session.name}"
    return CommandAnswer(effect, (change,), then)


SPEC = CommandSpec(Stop, _handle)
