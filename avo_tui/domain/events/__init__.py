"""The events of a session, numbered without gaps in the order in which they happened.

The tables of a session change only by events: `avo_tui.domain.state.SessionState.apply` applies
each one. Screens, replays and recovery all use that same function.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

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

_ADAPTER: TypeAdapter[KnownEvent] = TypeAdapter(KnownEvent)


def parse_event(line: str | bytes) -> Event:
    """Read one line of the journal.

    Raises ValueError for a line that is not an event; an unknown kind is `Unrecognised`.
    """
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        if all(e["type"] == "union_tag_invalid" for e in error.errors()):
            return Unrecognised.model_validate_json(line)
        raise
