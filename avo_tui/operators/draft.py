"""What a step left uncommitted, for the next step to go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from avo_tui.domain import events as ev
from avo_tui.domain.base import ObjectId, Value
from avo_tui.domain.records import Version

CARRIED = "Went on from the draft"
"""Beginning of the title of the edit by which a step takes over the previous step's draft."""


class Draft(Value):
    """A candidate that a step left uncommitted."""

    candidate: ObjectId
    step: int
    """Number of the step that left the draft."""
    carried: int = 0
    """How many steps in a row, up to that one, went on from the draft of the one before."""


StepEvents = Callable[[int], Iterable[ev.Event]]

FARTHEST = 20
"""Number of steps to look back to count how often a draft was carried over."""


def last_draft(step_events: StepEvents, step: int, head: Version) -> Draft | None:
    """The draft that the previous step left.

    None if that step committed a version, started from another version, or edited nothing. A rewind
    also discards the draft, because the person wanted to undo what came after.
    """
    candidate, _ = _left(step_events(step - 1), head) if step > 1 else (None, False)
    if candidate is None or candidate == head.candidate:
        return None
    carried = 0
    for earlier in range(step - 1, max(0, step - 1 - FARTHEST), -1):
        left, went_on = _left(step_events(earlier), head)
        if left is None or not went_on:
            break
        carried += 1
    return Draft(candidate=candidate, step=step - 1, carried=carried)


def _left(events: Iterable[ev.Event], head: Version) -> tuple[str | None, bool]:
    """(the last working candidate of a step, True if it began with a draft)."""
    candidate: str | None = None
    went_on = False
    for event in events:
        match event:
            case ev.StepStarted() if event.parent != head.number:
                return None, False
            case ev.VersionCommitted() | ev.Rewound():
                return None, False
            case ev.CandidateEdited():
                went_on = went_on or event.title.startswith(CARRIED)
                candidate = event.candidate
            case _:
                pass
    return candidate, went_on
