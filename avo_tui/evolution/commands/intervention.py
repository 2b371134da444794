"""`supervise` and `intervention`: the person starts, edits or dismisses an intervention."""

from __future__ import annotations

from avo_tui.domain import stall_rules
from avo_tui.domain.commands import Command, EditIntervention, Supervise
from avo_tui.domain.events import InterventionChanged, SupervisorIntervened
from avo_tui.domain.records import Direction
from avo_tui.domain.state import SessionState
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused


def _supervise(desk: Desk, command: Supervise) -> CommandAnswer:
    run = desk.run
    if not run.state.versions:
        raise Refused("there is no version yet")
    directions = tuple(Direction(text=text) for text in command.directions)
    order = desk.supervisor.intervention(
        command.level, "triggered by the person", by="person", directions=directions
    )
    ends = stall_rules.step_end(order)

    def then() -> None:
        if ends and run.open_step is not None:
            run.control.end_step("nothing", ends)

    effect = f"{order.level} with {len(order.directions)} directions"
    return CommandAnswer(effect, (SupervisorIntervened(intervention=order),), then)


def _edit(desk: Desk, command: EditIntervention) -> CommandAnswer:
    order = desk.run.state.supervision.get(command.intervention)
    if order is None:
        raise Refused(f"there is no intervention {command.intervention}")
    if command.dismiss:
        change = InterventionChanged(intervention=order.id, state="dismissed")
        return CommandAnswer("dismissed", (change,))
    if command.directions is None:
        raise Refused("nothing to change")
    directions = tuple(Direction(text=text) for text in command.directions)
    change = InterventionChanged(intervention=order.id, state="active", directions=directions)
    return CommandAnswer(f"{len(directions)} directions", (change,))


def _directions_before(state: SessionState, command: EditIntervention) -> Command | None:
    order = state.supervision.get(command.intervention)
    if order is None or not order.directions:
        return None
    texts = tuple(direction.text for direction in order.directions)
    return EditIntervention(intervention=order.id, directions=texts)


SUPERVISE = CommandSpec(Supervise, _supervise, summary=lambda command: command.level)
EDIT = CommandSpec(EditIntervention, _edit, undo=_directions_before)
