"""`hint` and `clear_hint`: sends a message to the variation operator, or withdraws it."""

from __future__ import annotations

from avo_tui.domain.base import now
from avo_tui.domain.commands import ClearHint, Command, SendHint
from avo_tui.domain.events import HintClosed, HintQueued
from avo_tui.domain.records import Hint
from avo_tui.domain.state import SessionState
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused, short

MAX_LIVE_HINTS = 50
WHEN = {"next_tool": "at the next tool", "end_of_turn": "at the end of the turn", "now": "first"}


def _send(desk: Desk, command: SendHint) -> CommandAnswer:
    run = desk.run
    if len(run.state.live_hints) >= MAX_LIVE_HINTS:
        raise Refused(f"{MAX_LIVE_HINTS} hints are in force; clear one first")
    if not command.text.strip():
        raise Refused("the hint is empty")
    hint = Hint(
        id=command.id,
        text=command.text,
        delivery=command.delivery,
        scope=command.scope,
        by=command.by,
        queued_at=now(),
    )
    queued = HintQueued(hint=hint)
    if command.delivery != "now" or run.mode.only_inbox:
        return CommandAnswer(f"queued, delivered {WHEN[command.delivery]}", (queued,))

    def then() -> None:
        run.control.hint_now = True

    return CommandAnswer("delivered now", (queued,), then)


def _clear(desk: Desk, command: ClearHint) -> CommandAnswer:
    state = desk.run.state
    hint = state.hints.get(command.hint)
    if hint is None:
        raise Refused(f"there is no hint {command.hint}")
    if hint not in state.live_hints:
        raise Refused(f"the hint is {hint.state} already")
    closed = HintClosed(hint=hint.id, state="cleared", why="cleared by the person")
    return CommandAnswer("cleared", (closed,))


def _send_again(state: SessionState, command: ClearHint) -> Command | None:
    hint = state.hints.get(command.hint)
    if hint is None:
        return None
    return SendHint(text=hint.text, delivery=hint.delivery, scope=hint.scope)


SEND = CommandSpec(
    SendHint,
    _send,
    summary=lambda command: short(command.text),
    undo=lambda state, command: ClearHint(hint=command.id),
)
CLEAR = CommandSpec(ClearHint, _clear, undo=_send_again)
