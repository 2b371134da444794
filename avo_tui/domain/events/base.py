"""What all events have in common."""

from __future__ import annotations

from pydantic import Field

from avo_tui.domain.base import Moment, Value, now


class EventBase(Value):
    """What every event has. The writer of the journal sets these fields."""

    seq: int = 0
    """Number of the event in its session, from 1, without gaps."""
    at: Moment = Field(default_factory=now)
    step: int = 0
    """Number of the step that was open, or the last one before."""
    group_end: int | None = None
    """`seq` of the last event that was appended together with this one; None for an event on its
    own. A group whose last event is missing never happened: readers skip it, the next writer cuts
    it off."""
