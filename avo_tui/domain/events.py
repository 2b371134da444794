"""The events of a session: everything that happens, in order, numbered without gaps.

An event is the only way anything changes. `avo_tui.domain.state.SessionState.apply` folds them
into the tables; screens, replays and recovery all use that same fold.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from avo_tui.domain.acceptance import GateDecision
from avo_tui.domain.base import Moment, ObjectId, Value, now
from avo_tui.domain.budget import Budget, BudgetUnit, Spend
from avo_tui.domain.commands import Command
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.records import (
    Attempt,
    Audit,
    Author,
    Direction,
    EngineRecord,
    Hint,
    Intervention,
    Note,
    Occupant,
    PauseMode,
    PlanItem,
    Profile,
    Remeasurement,
    RunState,
    SessionRecord,
    StepOutcomeName,
    Version,
)
from avo_tui.domain.score import Score
from avo_tui.domain.verdict import EvaluationProgress, EvaluationReport


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


# -- the session and its engine


class SessionCreated(EventBase):
    kind: Literal["session_created"] = "session_created"
    session: SessionRecord


class EngineStarted(EventBase):
    kind: Literal["engine_started"] = "engine_started"
    engine: EngineRecord


class EngineStopped(EventBase):
    """The engine stopped in good order."""

    kind: Literal["engine_stopped"] = "engine_stopped"
    state: RunState
    reason: str = ""


class Recovered(EventBase):
    """An engine was started after one that crashed or was killed: what it repaired."""

    kind: Literal["recovered"] = "recovered"
    actions: tuple[str, ...]


class StateChanged(EventBase):
    kind: Literal["state_changed"] = "state_changed"
    state: RunState
    reason: str = ""
    until: Moment | None = None
    """For `parked`: when the run goes on by itself."""
    pause_mode: PauseMode | None = None


# -- steps


class StepStarted(EventBase):
    kind: Literal["step_started"] = "step_started"
    parent: int
    command: str = ""
    """Id of the command that the step carries out; "" where the operator makes the step."""


class StepFinished(EventBase):
    kind: Literal["step_finished"] = "step_finished"
    outcome: StepOutcomeName
    reason: str = ""
    version: int | None = None


class PlanSet(EventBase):
    kind: Literal["plan_set"] = "plan_set"
    title: str
    items: tuple[PlanItem, ...] = ()


class AgentText(EventBase):
    """Text that the operator wrote, in pieces of about half a second."""

    kind: Literal["agent_text"] = "agent_text"
    block: str
    """Pieces with the same number belong to one block of text."""
    text: str
    thinking: bool = False


class MessageRecorded(EventBase):
    """One message of the agent's conversation, whole, as an object (JSON)."""

    kind: Literal["message_recorded"] = "message_recorded"
    role: Literal["system", "user", "assistant", "request"]
    ref: ObjectId
    summary: str = ""
    awaits_answer: bool = False
    """True while the model's answer to this request is awaited."""


class ModelStatusChanged(EventBase):
    """The set of optional features that the model is asked with has changed."""

    kind: Literal["model_status_changed"] = "model_status_changed"
    degraded: tuple[str, ...] = ()
    """Features that are switched off for now, such as `cache`; empty when all are in use."""
    cause: str = ""
    """The endpoint's message."""


class ToolCalled(EventBase):
    kind: Literal["tool_called"] = "tool_called"
    call: str
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Long values are cut; the recorded message has them whole."""


class ToolReturned(EventBase):
    kind: Literal["tool_returned"] = "tool_returned"
    call: str
    tool: str
    ok: bool
    summary: str = ""
    """First lines of the result."""
    ref: ObjectId | None = None
    """Id of the object with the whole result."""
    seconds: float = 0.0


class CandidateEdited(EventBase):
    """The working candidate changed."""

    kind: Literal["candidate_edited"] = "candidate_edited"
    candidate: ObjectId
    parent: int
    """Number of the version that the diff is against."""
    diff: str = ""
    """Unified diff to the parent; long diffs are cut."""
    added: int = 0
    removed: int = 0
    title: str = ""


class SeatTaken(EventBase):
    """An agent outside has sat down in the seat, in the place of whoever sat there."""

    kind: Literal["seat_taken"] = "seat_taken"
    occupant: Occupant


class SeatLeft(EventBase):
    """Nobody sits in the seat any more; the step waits for somebody."""

    kind: Literal["seat_left"] = "seat_left"
    why: str = ""


# -- attempts


class CandidateProfiled(EventBase):
    """A profiler measured a candidate."""

    kind: Literal["candidate_profiled"] = "candidate_profiled"
    profile: Profile


class AttemptStarted(EventBase):
    kind: Literal["attempt_started"] = "attempt_started"
    attempt: Attempt


class EvaluationProgressed(EventBase):
    """A stage of an evaluation began or ended, or one of its configurations is done."""

    kind: Literal["evaluation_progressed"] = "evaluation_progressed"
    attempt: int
    progress: EvaluationProgress


class AttemptFinished(EventBase):
    """An attempt was evaluated; whether it becomes a version is told by a later event."""

    kind: Literal["attempt_finished"] = "attempt_finished"
    attempt: int
    report: EvaluationReport
    ref: ObjectId | None = None


class PairMeasured(EventBase):
    """A replicate was added to a comparison: one pair of fresh processes, timed in turn."""

    kind: Literal["pair_measured"] = "pair_measured"
    attempt: int = 0
    """Number of the attempt at the gate; 0 for an audit."""
    comparison: Comparison
    """The comparison; its `replicates` holds only the new one."""


class GateDecided(EventBase):
    kind: Literal["gate_decided"] = "gate_decided"
    attempt: int
    decision: GateDecision
    score: Score | None = None
    """The candidate's score, measured again because gain and first score disagreed."""


class AttemptRejected(EventBase):
    """The attempt does not become a version."""

    kind: Literal["attempt_rejected"] = "attempt_rejected"
    attempt: int
    reason: str


class ApprovalRequested(EventBase):
    kind: Literal["approval_requested"] = "approval_requested"
    attempt: int
    decision: GateDecision


class ApprovalGiven(EventBase):
    kind: Literal["approval_given"] = "approval_given"
    attempt: int
    approved: bool
    reason: str = ""


class VersionCommitted(EventBase):
    """A version was committed. It becomes the head unless it is on a branch."""

    kind: Literal["version_committed"] = "version_committed"
    version: Version
    becomes_head: bool = True


class VersionRemeasured(EventBase):
    kind: Literal["version_remeasured"] = "version_remeasured"
    number: int
    measurement: Remeasurement


class VersionAudited(EventBase):
    """A version was measured again in fresh processes, in turn with the one that it had beaten."""

    kind: Literal["version_audited"] = "version_audited"
    number: int
    audit: Audit
    head: int | None = None
    """Number of the new head, where the version was the head and failed the audit."""


class VersionAnnotated(EventBase):
    """The bookmark and the note of a version were set."""

    kind: Literal["version_annotated"] = "version_annotated"
    number: int
    bookmark: str | None = None
    note: str = ""


# -- the person


class CommandTaken(EventBase):
    kind: Literal["command_taken"] = "command_taken"
    id: str
    by: str = ""
    command: str
    """The command's kind."""
    summary: str = ""
    effect: str = ""
    refused: str | None = None
    """Why it was not carried out; None where it was."""
    undo: Command | None = None
    """What would undo the command; None where it cannot be undone."""


class HintQueued(EventBase):
    kind: Literal["hint_queued"] = "hint_queued"
    hint: Hint


class HintDelivered(EventBase):
    kind: Literal["hint_delivered"] = "hint_delivered"
    hint: str
    where: str
    effect: str = ""


class HintClosed(EventBase):
    kind: Literal["hint_closed"] = "hint_closed"
    hint: str
    state: Literal["expired", "cleared"]
    why: str = ""


class Rewound(EventBase):
    kind: Literal["rewound"] = "rewound"
    origin: int
    """Number of the head before the rewind."""
    target: int
    """Number of the head after the rewind."""
    reason: str = ""


class BudgetChanged(EventBase):
    kind: Literal["budget_changed"] = "budget_changed"
    budget: Budget


class BudgetWarned(EventBase):
    kind: Literal["budget_warned"] = "budget_warned"
    unit: BudgetUnit
    cap: float
    used: float
    exhausted: bool = False
    hours_left: float | None = None


class Spent(EventBase):
    """An amount that was used, added to the spend of the run and of the step."""

    kind: Literal["spent"] = "spent"
    spend: Spend


# -- memory, supervisor, trouble


class NoteWritten(EventBase):
    """A note was added or replaced."""

    kind: Literal["note_written"] = "note_written"
    note: Note


class NoteRemoved(EventBase):
    kind: Literal["note_removed"] = "note_removed"
    note: str
    author: Author = "agent"
    """Who removed it."""


class SupervisorIntervened(EventBase):
    kind: Literal["supervisor_intervened"] = "supervisor_intervened"
    intervention: Intervention


class InterventionChanged(EventBase):
    kind: Literal["intervention_changed"] = "intervention_changed"
    intervention: str
    state: Literal["active", "dismissed", "done"]
    directions: tuple[Direction, ...] | None = None
    """The new directions; None leaves them unchanged."""
    review: str | None = None
    """Diagnosis from a review of the run; None where there was no review."""
    avoid: tuple[str, ...] | None = None
    """What the review says to stop doing; None leaves it unchanged."""


class TroubleNoted(EventBase):
    """A problem that the person should know of."""

    kind: Literal["trouble"] = "trouble"
    where: str
    message: str
    ref: ObjectId | None = None


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
