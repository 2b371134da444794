"""The events of a session, numbered without gaps in the order in which they happened.

The tables of a session change only by events: `SessionState.apply` calls the event's own `apply`,
which says what its kind changes. Screens, replays and recovery all use that same function.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from avo_tui.domain.base import DEFERRED, Moment, ObjectId, Value, now
from avo_tui.domain.budget import Budget, BudgetUnit, Spend
from avo_tui.domain.commands import Command, CommandRecord
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.plain import Safe
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
    Step,
    StepOutcomeName,
    Version,
)
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.run_settings import OptionValue
from avo_tui.domain.score import Score
from avo_tui.domain.tables import Tables
from avo_tui.domain.verdict import Verdict


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

    def apply(self, to: Tables) -> None:
        """Change what this kind of event changes; most change nothing."""


# -- the session, its engine and its budget


class SessionCreated(EventBase):
    kind: Literal["session_created"] = "session_created"
    session: SessionRecord


class EngineStarted(EventBase):
    kind: Literal["engine_started"] = "engine_started"
    engine: EngineRecord

    def apply(self, to: Tables) -> None:
        to.change_session(engine=self.engine, waiting_since=None, degraded=(), occupant=None)


class EngineStopped(EventBase):
    """The engine stopped in an orderly way."""

    kind: Literal["engine_stopped"] = "engine_stopped"
    state: RunState
    reason: str = ""

    def apply(self, to: Tables) -> None:
        to.enter(self.state, self.reason, self.at)
        to.change_session(degraded=(), occupant=None)


class Recovered(EventBase):
    """An engine was started after one that crashed or was killed; lists what it repaired."""

    kind: Literal["recovered"] = "recovered"
    actions: tuple[str, ...]


class StateChanged(EventBase):
    kind: Literal["state_changed"] = "state_changed"
    state: RunState
    reason: str = ""
    until: Moment | None = None
    """For `parked`: the time at which the run continues by itself."""
    pause_mode: PauseMode | None = None

    def apply(self, to: Tables) -> None:
        to.enter(self.state, self.reason, self.at, until=self.until)


class BudgetChanged(EventBase):
    kind: Literal["budget_changed"] = "budget_changed"
    budget: Budget

    def apply(self, to: Tables) -> None:
        to.change_session(budget=self.budget)


class OptionsChanged(EventBase):
    """The person changed options of the run; each applies from its next use."""

    kind: Literal["options_changed"] = "options_changed"
    options: dict[str, OptionValue | None]
    """Option name → new value; None restores the default."""

    def apply(self, to: Tables) -> None:
        to.change_session(settings=to.session.settings.with_options(self.options))


class BudgetWarned(EventBase):
    kind: Literal["budget_warned"] = "budget_warned"
    unit: BudgetUnit
    cap: float
    used: float
    exhausted: bool = False
    hours_left: float | None = None


class Spent(EventBase):
    """An amount that was used; it is added to the spend of the run and of the step."""

    kind: Literal["spent"] = "spent"
    spend: Spend

    def apply(self, to: Tables) -> None:
        to.add_spend(self.step, self.spend)


class TroubleNoted(EventBase):
    kind: Literal["trouble"] = "trouble"
    where: str
    message: str
    ref: ObjectId | None = None

    def apply(self, to: Tables) -> None:
        if to.session.waiting_since is not None:
            to.change_session(waiting_since=None)


# -- a step: the plan, the conversation, the tools and the edits of the operator


class StepStarted(EventBase):
    kind: Literal["step_started"] = "step_started"
    parent: int
    command: str = ""
    """Id of the command that the step carries out; empty if the operator makes the step."""

    def apply(self, to: Tables) -> None:
        to.steps[self.step] = Step(
            number=self.step, parent=self.parent, started=self.at, command=self.command
        )
        to.change_session(step=self.step)


class StepFinished(EventBase):
    kind: Literal["step_finished"] = "step_finished"
    outcome: StepOutcomeName
    reason: str = ""
    version: int | None = None

    def apply(self, to: Tables) -> None:
        step = to.steps[self.step]
        to.steps[self.step] = step.replaced(
            ended=self.at,
            outcome=self.outcome,
            reason=self.reason,
            version=self.version if self.version is not None else step.version,
        )
        to.add_spend(self.step, Spend(steps=1))
        to.change_session(waiting_since=None)
        to.end_approval()
        for hint in list(to.hints.values()):
            if hint.state == "delivered" and hint.scope == "step":
                to.hints[hint.id] = hint.replaced(state="expired")


class PlanSet(EventBase):
    kind: Literal["plan_set"] = "plan_set"
    title: str
    items: tuple[PlanItem, ...] = ()


class AgentText(EventBase):
    """Text that the operator wrote, sent in pieces about every half second."""

    kind: Literal["agent_text"] = "agent_text"
    block: str
    """Pieces with the same number belong to one block of text."""
    text: str
    thinking: bool = False

    def apply(self, to: Tables) -> None:
        if to.session.waiting_since is not None:
            to.change_session(waiting_since=self.at)


class MessageRecorded(EventBase):
    """One complete message of the agent's conversation, stored as an object (JSON)."""

    kind: Literal["message_recorded"] = "message_recorded"
    role: Literal["system", "user", "assistant", "request"]
    ref: ObjectId
    summary: str = ""
    awaits_answer: bool = False
    """True while the model's answer to this message is awaited."""

    def apply(self, to: Tables) -> None:
        if self.awaits_answer:
            to.change_session(waiting_since=self.at)
        elif self.role == "assistant":
            to.change_session(waiting_since=None)


class ModelStatusChanged(EventBase):
    """Optional features of requests to the model were switched off or on again."""

    kind: Literal["model_status_changed"] = "model_status_changed"
    degraded: tuple[str, ...] = ()
    """Features that are switched off for now, such as `cache`; empty when all are in use."""
    cause: str = ""
    """The error message of the model's endpoint."""

    def apply(self, to: Tables) -> None:
        to.change_session(degraded=self.degraded)


class ToolCalled(EventBase):
    kind: Literal["tool_called"] = "tool_called"
    call: str
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the tool; long values are cut, the recorded message contains them in full."""


class ToolProgressed(EventBase):
    """A tool that does several things one after the other began with the next of them."""

    kind: Literal["tool_progressed"] = "tool_progressed"
    call: str
    doing: Safe = ""
    """What it does now, such as `2 of 10: TILE=64`; empty where it has done all."""
    result: Safe = ""
    """What the one before gave, in a line: kept even if the call never returns."""


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
    kind: Literal["candidate_edited"] = "candidate_edited"
    candidate: ObjectId
    parent: int
    """Number of the version that the diff is against."""
    diff: str = ""
    """Unified diff against the parent; long diffs are cut."""
    added: int = 0
    removed: int = 0
    title: str = ""


class SeatTaken(EventBase):
    """An outside agent took the seat; it replaces any agent that had it."""

    kind: Literal["seat_taken"] = "seat_taken"
    occupant: Occupant

    def apply(self, to: Tables) -> None:
        to.change_session(occupant=self.occupant)


class SeatLeft(EventBase):
    """The outside agent left the seat; the step waits for another one."""

    kind: Literal["seat_left"] = "seat_left"
    why: str = ""

    def apply(self, to: Tables) -> None:
        to.change_session(occupant=None)


# -- attempts, the acceptance gate, versions and audits


class CandidateProfiled(EventBase):
    kind: Literal["candidate_profiled"] = "candidate_profiled"
    profile: Profile

    def apply(self, to: Tables) -> None:
        to.profiles[self.profile.id] = self.profile


class AttemptStarted(EventBase):
    kind: Literal["attempt_started"] = "attempt_started"
    attempt: Attempt

    def apply(self, to: Tables) -> None:
        attempt = self.attempt
        to.attempts[attempt.step, attempt.number] = attempt
        if (step := to.steps.get(attempt.step)) is not None:
            count = max(step.attempts, attempt.number)
            to.steps[attempt.step] = step.replaced(attempts=count)


class EvaluationProgressed(EventBase):
    """A stage of an evaluation began or ended, or one of its configurations is done.

    Only for live display: it is not written to the journal. Journals of older versions contain it.
    """

    kind: Literal["evaluation_progressed"] = "evaluation_progressed"
    attempt: int
    progress: EvaluationProgress

    def apply(self, to: Tables) -> None:
        if self.progress.state == "started" and self.progress.stage != "waiting":
            to.change_attempt(self.step, self.attempt, stage=self.progress.stage)


class AttemptFinished(EventBase):
    """An attempt was evaluated. A later event says whether it becomes a version."""

    kind: Literal["attempt_finished"] = "attempt_finished"
    attempt: int
    report: EvaluationReport
    ref: ObjectId | None = None
    """Id of an object with the same report, in sessions of older versions."""

    def apply(self, to: Tables) -> None:
        report = self.report
        to.change_attempt(
            self.step,
            self.attempt,
            verdict=report.verdict,
            stage=report.reached,
            aggregate=report.score.aggregate if report.score else 0.0,
            reason="" if report.correct else report.feedback.summary,
            report=self.ref,
            report_event=0 if self.ref is not None else self.seq,
            seconds=report.seconds.total,
            cached=report.cached,
            worker=report.worker,
        )


class PairMeasured(EventBase):
    """A replicate was added to a comparison: one pair of fresh processes, timed in turn."""

    kind: Literal["pair_measured"] = "pair_measured"
    attempt: int = 0
    comparison: Comparison
    """The comparison; its `replicates` holds only the new one."""

    def apply(self, to: Tables) -> None:
        new = self.comparison
        if (old := to.comparisons.get(new.number)) is not None:
            new = old.replaced(replicates=(*old.replicates, *new.replicates))
        to.comparisons[new.number] = new


class GateDecided(EventBase):
    kind: Literal["gate_decided"] = "gate_decided"
    attempt: int
    decision: GateDecision
    score: Score | None = None
    """The candidate's score, where the gate measured more: again, because its gain and the first
    score disagreed, or the speed on other inputs."""

    def apply(self, to: Tables) -> None:
        number, outcome = self.decision.comparison, self.decision.outcome
        if outcome == "suspicious":
            to.change_attempt(self.step, self.attempt, verdict=Verdict.SUSPICIOUS)
        if number is None:
            return
        row = to.comparisons[number]
        if self.decision.accepted:
            to.comparisons[number] = row.replaced(accepted=True, held=None)
        elif outcome in ("refused", "unclear"):
            to.comparisons[number] = row.replaced(held=outcome, held_at=len(row.replicates))


class AttemptRejected(EventBase):
    kind: Literal["attempt_rejected"] = "attempt_rejected"
    attempt: int
    reason: str
    by_person: bool = False
    """True if the gate had accepted the attempt and the person rejected it."""

    def apply(self, to: Tables) -> None:
        update = {"reason": self.reason, "refused_by_person": self.by_person}
        to.change_attempt(self.step, self.attempt, **update)
        to.end_approval()


class ApprovalRequested(EventBase):
    kind: Literal["approval_requested"] = "approval_requested"
    attempt: int
    decision: GateDecision

    def apply(self, to: Tables) -> None:
        to.pending_approval = (self.attempt, self.decision)
        to.change_session(approval_since=self.at)


class ApprovalGiven(EventBase):
    kind: Literal["approval_given"] = "approval_given"
    attempt: int
    approved: bool
    reason: str = ""

    def apply(self, to: Tables) -> None:
        to.end_approval()


class VersionCommitted(EventBase):
    """A version was committed. It becomes the head unless it is on a branch."""

    kind: Literal["version_committed"] = "version_committed"
    version: Version
    becomes_head: bool = True

    def apply(self, to: Tables) -> None:
        version = self.version
        to.versions[version.number] = version
        if self.becomes_head:
            to.change_session(head=version.number)
        to.change_attempt(version.step, version.attempt, version=version.number, reason="")
        if (step := to.steps.get(version.step)) is not None:
            to.steps[version.step] = step.replaced(version=version.number)


class VersionRemeasured(EventBase):
    kind: Literal["version_remeasured"] = "version_remeasured"
    number: int
    measurement: Remeasurement

    def apply(self, to: Tables) -> None:
        version = to.versions[self.number]
        more = (*version.remeasurements, self.measurement)
        to.versions[self.number] = version.replaced(remeasurements=more)


class VersionAudited(EventBase):
    """A version was measured again, alternately with the version it had beaten, in fresh
    processes."""

    kind: Literal["version_audited"] = "version_audited"
    number: int
    audit: Audit
    head: int | None = None
    """Number of the new head if the version was the head and failed the audit; None otherwise."""

    def apply(self, to: Tables) -> None:
        version = to.versions[self.number]
        to.versions[self.number] = version.replaced(audits=(*version.audits, self.audit))
        if self.head is not None:
            to.change_session(head=to.versions[self.head].number)


class VersionAnnotated(EventBase):
    """The bookmark and the note of a version were set."""

    kind: Literal["version_annotated"] = "version_annotated"
    number: int
    bookmark: str | None = None
    note: str = ""

    def apply(self, to: Tables) -> None:
        update = {"bookmark": self.bookmark, "note": self.note}
        to.versions[self.number] = to.versions[self.number].replaced(**update)


# -- the person's commands, hints and rewinds, the notes, and the supervisor


class CommandTaken(EventBase):
    kind: Literal["command_taken"] = "command_taken"
    id: str
    by: str = ""
    command: str
    """The command's kind."""
    summary: str = ""
    effect: str = ""
    refused: str | None = None
    """Why the command was not carried out; None if it was."""
    undo: Command | None = None
    """The command that would undo this one; None if it cannot be undone."""

    def apply(self, to: Tables) -> None:
        to.commands[self.id] = CommandRecord(
            id=self.id,
            at=self.at,
            by=self.by,
            kind=self.command,
            summary=self.summary,
            effect=self.effect,
            refused=self.refused,
            undo=self.undo,
        )


class HintQueued(EventBase):
    kind: Literal["hint_queued"] = "hint_queued"
    hint: Hint

    def apply(self, to: Tables) -> None:
        to.hints[self.hint.id] = self.hint


class HintDelivered(EventBase):
    kind: Literal["hint_delivered"] = "hint_delivered"
    hint: str
    where: str
    effect: str = ""

    def apply(self, to: Tables) -> None:
        to.hints[self.hint] = to.hints[self.hint].replaced(
            state="delivered", delivered_at=self.at, where=self.where, effect=self.effect
        )


class HintClosed(EventBase):
    kind: Literal["hint_closed"] = "hint_closed"
    hint: str
    state: Literal["expired", "cleared"]
    why: str = ""

    def apply(self, to: Tables) -> None:
        to.hints[self.hint] = to.hints[self.hint].replaced(state=self.state, where=self.why)


class Rewound(EventBase):
    kind: Literal["rewound"] = "rewound"
    origin: int
    """Number of the head before the rewind."""
    target: int
    """Number of the head after the rewind."""
    reason: str = ""

    def apply(self, to: Tables) -> None:
        to.change_session(head=to.versions[self.target].number, rewound_at=self.at)


class NoteWritten(EventBase):
    kind: Literal["note_written"] = "note_written"
    note: Note

    def apply(self, to: Tables) -> None:
        to.memory[self.note.id] = self.note


class NoteRemoved(EventBase):
    kind: Literal["note_removed"] = "note_removed"
    note: str
    author: Author = "agent"
    """Who removed the note."""

    def apply(self, to: Tables) -> None:
        to.memory.pop(self.note, None)


class SupervisorIntervened(EventBase):
    kind: Literal["supervisor_intervened"] = "supervisor_intervened"
    intervention: Intervention

    def apply(self, to: Tables) -> None:
        to.supervision[self.intervention.id] = self.intervention


class InterventionChanged(EventBase):
    kind: Literal["intervention_changed"] = "intervention_changed"
    intervention: str
    state: Literal["active", "dismissed", "done"]
    directions: tuple[Direction, ...] | None = None
    """The new directions; None leaves them unchanged."""
    review: str | None = None
    """Diagnosis from a review of the run by the model; None if there was no review."""
    avoid: tuple[str, ...] | None = None
    """What the review says should no longer be tried; None leaves the earlier value unchanged."""

    def apply(self, to: Tables) -> None:
        given = {"directions": self.directions, "review": self.review, "avoid": self.avoid}
        update: dict[str, Any] = {k: value for k, value in given.items() if value is not None}
        if self.directions is not None:
            update["review_wanted"] = False
        old = to.supervision[self.intervention]
        to.supervision[self.intervention] = old.replaced(state=self.state, **update)


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
