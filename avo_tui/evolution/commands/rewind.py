"""`rewind`: makes an earlier version the head; the versions after it stay as a branch."""

from __future__ import annotations

from avo_tui.domain import stall_rules
from avo_tui.domain.commands import Command, Rewind
from avo_tui.domain.events import Event, Rewound
from avo_tui.domain.lineage import abandoned_by, rewind_text
from avo_tui.domain.state import SessionState
from avo_tui.evolution import steps
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused, short


def _handle(desk: Desk, command: Rewind) -> CommandAnswer:
    run = desk.run
    state, step = run.state, run.open_step
    target, head = desk.version(command.version).number, state.session.head
    assert head is not None
    if target == head and step is None:
        raise Refused(f"v{head} is the head already")
    left = len(abandoned_by(state.versions, head, target))
    effect = f"v{target} is the head"
    if left:
        effect += f"; {left} version{'s' if left > 1 else ''} stay as a branch"
    events: list[Event] = [
        Rewound(origin=head, target=target, reason=command.reason),
        *stall_rules.closing(state, rewind=True),
    ]
    if step is None:
        return CommandAnswer(effect, events)
    effect += f"; step {step.number} ends"
    reason = rewind_text(head, target, command.reason)
    if run.mode.only_inbox:
        return CommandAnswer(effect, [*events, *steps.ending(run, "rewound", reason)])
    return CommandAnswer(effect, events, lambda: run.control.end_step("rewound", reason))


def _summary(command: Rewind) -> str:
    reason = f": {short(command.reason)}" if command.reason else ""
    return f"rewind to v{command.version}{reason}"


def _undo(state: SessionState, command: Rewind) -> Command | None:
    head = state.session.head
    return None if head in {None, command.version} else Rewind(version=head, reason="undo")


SPEC = CommandSpec(Rewind, _handle, summary=_summary, undo=_undo)
