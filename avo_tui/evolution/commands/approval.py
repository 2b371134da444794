"""`approve` and `reject`: the person's decision on a commit that waits for approval."""

from __future__ import annotations

from avo_tui.domain.commands import Approve, Reject
from avo_tui.domain.events import ApprovalGiven
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused, short


def _decide(desk: Desk, approved: bool, reason: str) -> CommandAnswer:
    state = desk.run.state
    if state.pending_approval is None:
        raise Refused("no commit waits for approval")
    attempt = state.pending_approval[0]
    word = "is committed" if approved else "is not committed"
    change = ApprovalGiven(attempt=attempt, approved=approved, reason=reason)
    return CommandAnswer(f"attempt {state.session.step}.{attempt} {word}", (change,))


APPROVE = CommandSpec(Approve, lambda desk, command: _decide(desk, True, ""))
REJECT = CommandSpec(
    Reject,
    lambda desk, command: _decide(desk, False, command.reason),
    summary=lambda command: short(command.reason),
)
