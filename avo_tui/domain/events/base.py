"""The base class of all events."""

from __future__ import annotations

from pydantic import Field

from avo_tui.domain.base import Moment, Value, now


class EventBase(Value):
    """What every event has. The writer of the journal sets these fields."""

    seq: int = 0
    """Number of the event in its session, from 1, without gaps."""
    at: Moment = Field(default_factory=now)
    step: int = 0
    """Number of the step that was running, or of the last one before if none was."""
    group_end: int | None = None
    """`seq` of the last event of the transaction that this one belongs to; None for an event on its
    own. If that last event is missing, the transaction was not completed: readers skip its events,
    and the next writer cuts them off."""
