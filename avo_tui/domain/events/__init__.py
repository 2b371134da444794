"""The events of a session, numbered without gaps in the order in which they happened.

The tables of a session change only by events: `avo_tui.domain.state.SessionState.apply` applies
each one. Screens, replays and recovery all use that same function.
"""

from __future__ import annotations

import re
from typing import Annotated, get_args

from pydantic import Field, TypeAdapter, ValidationError

from avo_tui.domain.base import DEFERRED
from avo_tui.domain.events.attempts import (
    ApprovalGiven,
    ApprovalRequested,
    AttemptFinished,
    AttemptRejected,
    AttemptStarted,
    CandidateProfiled,
    EvaluationProgressed,
    GateDecided,
    PairMeasured,
    VersionAnnotated,
    VersionAudited,
    VersionCommitted,
    VersionRemeasured,
)
from avo_tui.domain.events.base import EventBase
from avo_tui.domain.events.running import (
    BudgetChanged,
    BudgetWarned,
    EngineStarted,
    EngineStopped,
    OptionsChanged,
    Recovered,
    SessionCreated,
    Spent,
    StateChanged,
    TroubleNoted,
)
from avo_tui.domain.events.steering import (
    CommandTaken,
    HintClosed,
    HintDelivered,
    HintQueued,
    InterventionChanged,
    NoteRemoved,
    NoteWritten,
    Rewound,
    SupervisorIntervened,
)
from avo_tui.domain.events.steps import (
    AgentText,
    CandidateEdited,
    MessageRecorded,
    ModelStatusChanged,
    PlanSet,
    SeatLeft,
    SeatTaken,
    StepFinished,
    StepStarted,
    ToolCalled,
    ToolProgressed,
    ToolReturned,
)

__all__ = [
    "AgentText",
    "ApprovalGiven",
    "ApprovalRequested",
    "AttemptFinished",
    "AttemptRejected",
    "AttemptStarted",
    "BudgetChanged",
    "BudgetWarned",
    "CandidateEdited",
    "CandidateProfiled",
    "CommandTaken",
    "EngineStarted",
    "EngineStopped",
    "EvaluationProgressed",
    "Event",
    "EventBase",
    "GateDecided",
    "HintClosed",
    "HintDelivered",
    "HintQueued",
    "InterventionChanged",
    "KnownEvent",
    "MessageRecorded",
    "ModelStatusChanged",
    "NoteRemoved",
    "NoteWritten",
    "OptionsChanged",
    "PairMeasured",
    "PlanSet",
    "Recovered",
    "Rewound",
    "SeatLeft",
    "SeatTaken",
    "SessionCreated",
    "Spent",
    "StateChanged",
    "StepFinished",
    "StepStarted",
    "SupervisorIntervened",
    "ToolCalled",
    "ToolProgressed",
    "ToolReturned",
    "TroubleNoted",
    "Unrecognised",
    "VersionAnnotated",
    "VersionAudited",
    "VersionCommitted",
    "VersionRemeasured",
    "parse_event",
]


class Unrecognised(EventBase):
    """An event of a kind that this version of the program does not know; it changes nothing."""

    kind: str = "unrecognised"


KnownEvent = Annotated[
    SessionCreated
    | EngineStarted
    | EngineStopped
    | Recovered
    | StateChanged
    | StepStarted
    | StepFinished
    | PlanSet
    | AgentText
    | MessageRecorded
    | ModelStatusChanged
    | ToolCalled
    | ToolProgressed
    | ToolReturned
    | CandidateEdited
    | SeatTaken
    | SeatLeft
    | CandidateProfiled
    | AttemptStarted
    | EvaluationProgressed
    | AttemptFinished
    | PairMeasured
    | GateDecided
    | AttemptRejected
    | ApprovalRequested
    | ApprovalGiven
    | VersionCommitted
    | VersionRemeasured
    | VersionAudited
    | VersionAnnotated
    | CommandTaken
    | HintQueued
    | HintDelivered
    | HintClosed
    | Rewound
    | BudgetChanged
    | OptionsChanged
    | BudgetWarned
    | Spent
    | NoteWritten
    | NoteRemoved
    | SupervisorIntervened
    | InterventionChanged
    | TroubleNoted,
    Field(discriminator="kind"),
]

Event = KnownEvent | Unrecognised

_ANY: TypeAdapter[KnownEvent] = TypeAdapter(KnownEvent, config=DEFERRED)

_CLASSES: dict[bytes, type[KnownEvent]] = {
    kind.model_fields["kind"].default.encode(): kind for kind in get_args(get_args(KnownEvent)[0])
}
"""Kind of event → its class."""

_KIND = re.compile(rb'"kind": ?"(\w+)"')


def parse_event(line: str | bytes) -> Event:
    """Read one line of the journal.

    Raises ValueError for a line that is not an event; an unknown kind is `Unrecognised`.
    """
    data = line.encode() if isinstance(line, str) else line
    return _of_first_kind(data) or _of_any_kind(data)


def _of_first_kind(line: bytes) -> Event | None:
    """The event, if it is of the kind that the line names first; None if it may be another.

    With this the validators of the kinds that do not occur are not built.
    """
    named = _KIND.search(line)
    kind = _CLASSES.get(named[1]) if named is not None else None
    if kind is None:
        return None
    try:
        event = kind.model_validate_json(line)
    except ValidationError:
        return None
    return event if "kind" in event.model_fields_set else None  # it was a nested value's


def _of_any_kind(line: bytes) -> Event:
    try:
        return _ANY.validate_json(line)
    except ValidationError as error:
        if all(e["type"] == "union_tag_invalid" for e in error.errors()):
            return Unrecognised.model_validate_json(line)
        raise
