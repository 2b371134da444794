"""The state of a session, computed from its events."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar, cast

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.acceptance import GateDecision
from avo_tui.domain.budget import Spend
from avo_tui.domain.commands import CommandRecord
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.records import (
    Attempt,
    Hint,
    Intervention,
    Note,
    Profile,
    RunState,
    SessionRecord,
    Step,
    Version,
)
from avo_tui.domain.verdict import Verdict

K = TypeVar("K")
V = TypeVar("V")


def _over(table: dict[K, V]) -> dict[K, V]:
    """A copy of a table whose changes do not reach the original."""
    return cast("dict[K, V]", ChainMap({}, table))


@dataclass
class SessionState:
    """All tables of a session. Only `apply` changes them."""

    session: SessionRecord
    versions: dict[int, Version] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    attempts: dict[tuple[int, int], Attempt] = field(default_factory=dict)
    """(step, number) → attempt."""
    hints: dict[str, Hint] = field(default_factory=dict)
    commands: dict[str, CommandRecord] = field(default_factory=dict)
    memory: dict[str, Note] = field(default_factory=dict)
    supervision: dict[str, Intervention] = field(default_factory=dict)
    comparisons: dict[int, Comparison] = field(default_factory=dict)
    """Number → what was measured of two candidates side by side, for gates and audits."""
    profiles: dict[str, Profile] = field(default_factory=dict)
    pending_approval: tuple[int, GateDecision] | None = None
    """The attempt that waits for the person's approval."""

    @classmethod
    def begin(cls, event: ev.SessionCreated) -> SessionState:
        """The state after the first event."""
        state = cls(session=event.session)
        state._touch(event)
        return state

    @property
    def best(self) -> Version | None:
        """The best version, as `lineage.best` defines it."""
        return lineage.best(self.versions.values())

    @property
    def head(self) -> Version | None:
        """The version that the next step starts from."""
        head = self.session.head
        return None if head is None else self.versions[head]

    @property
    def current_step(self) -> Step | None:
        """The step that is running, if one is."""
        step = self.steps.get(self.session.step)
        return step if step is not None and step.ended is None else None

    @property
    def live_hints(self) -> list[Hint]:
        """Hints that are queued, or delivered and still in force."""
        return [
            h
            for h in self.hints.values()
            if h.state == "queued" or (h.state == "delivered" and h.scope != "once")
        ]

    def apply(self, event: ev.Event) -> None:
        """Apply one event. Events up to number `session.applied` are ignored.

        Raises KeyError where an event names a record that does not exist: a damaged journal.
        """
        if event.seq and event.seq <= self.session.applied:
            return
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)
        self._touch(event)

    def trial(self) -> SessionState:
        """A copy to try events on; changes to it do not reach this state."""
        return replace(
            self,
            versions=_over(self.versions),
            steps=_over(self.steps),
            attempts=_over(self.attempts),
            hints=_over(self.hints),
            commands=_over(self.commands),
            memory=_over(self.memory),
            supervision=_over(self.supervision),
            comparisons=_over(self.comparisons),
            profiles=_over(self.profiles),
        )

    def admit(self, event: ev.Event) -> None:
        """Apply an event that is about to be recorded, with stricter checks than `apply`.

        Raises KeyError for a record that does not exist, ValueError for a version that exists
        already. The state is unusable after an error, so call this on a `trial()`.
        """
        if isinstance(event, ev.VersionCommitted):
            version = event.version
            if version.number in self.versions:
                raise ValueError(f"v{version.number} is in the lineage already")
            if version.parent is not None and version.parent not in self.versions:
                raise KeyError(version.parent)
        self.apply(event)

    def skip(self, event: ev.Event) -> None:
        """Count an event that cannot be applied, without applying it."""
        self._touch(event)

    def _touch(self, event: ev.Event) -> None:
        update: dict[str, Any] = {"last_event_at": event.at}
        if event.seq:
            update["applied"] = event.seq
        _session(self, **update)


def _state_since(state: SessionState, now: RunState, at: datetime) -> datetime | None:
    """When the run came into the state `now`: `at`, unless it was in that state before."""
    return state.session.state_since if now == state.session.state else at


def _end_approval(state: SessionState) -> None:
    state.pending_approval = None
    if state.session.approval_since is not None:
        _session(state, approval_since=None)


# -- the change that each kind of event makes


def _engine_started(state: SessionState, event: ev.EngineStarted) -> None:
    _session(state, engine=event.engine, waiting_since=None, degraded=(), occupant=None)


def _engine_stopped(state: SessionState, event: ev.EngineStopped) -> None:
    _session(
        state,
        state=event.state,
        state_reason=event.reason,
        state_since=_state_since(state, event.state, event.at),
        parked_until=None,
        waiting_since=None,
        degraded=(),
        occupant=None,
    )


def _state_changed(state: SessionState, event: ev.StateChanged) -> None:
    _session(
        state,
        state=event.state,
        state_reason=event.reason,
        state_since=_state_since(state, event.state, event.at),
        parked_until=event.until,
        waiting_since=None,
    )


def _step_started(state: SessionState, event: ev.StepStarted) -> None:
    state.steps[event.step] = Step(
        number=event.step, parent=event.parent, started=event.at, command=event.command
    )
    _session(state, step=event.step)


def _step_finished(state: SessionState, event: ev.StepFinished) -> None:
    step = state.steps[event.step]
    state.steps[event.step] = step.replaced(
        ended=event.at,
        outcome=event.outcome,
        reason=event.reason,
        version=event.version if event.version is not None else step.version,
    )
    _add_spend(state, event.step, Spend(steps=1))
    _session(state, waiting_since=None)
    _end_approval(state)
    for hint in list(state.hints.values()):
        if hint.state == "delivered" and hint.scope == "step":
            _hint(state, hint.id, state="expired")


def _message_recorded(state: SessionState, event: ev.MessageRecorded) -> None:
    if event.awaits_answer:
        _session(state, waiting_since=event.at)
    elif event.role == "assistant":
        _session(state, waiting_since=None)


def _agent_text(state: SessionState, event: ev.AgentText) -> None:
    if state.session.waiting_since is not None:
        _session(state, waiting_since=event.at)


def _trouble(state: SessionState, event: ev.TroubleNoted) -> None:
    if state.session.waiting_since is not None:
        _session(state, waiting_since=None)


def _model_status(state: SessionState, event: ev.ModelStatusChanged) -> None:
    _session(state, degraded=event.degraded)


def _seat_taken(state: SessionState, event: ev.SeatTaken) -> None:
    _session(state, occupant=event.occupant)


def _seat_left(state: SessionState, event: ev.SeatLeft) -> None:
    _session(state, occupant=None)


def _profiled(state: SessionState, event: ev.CandidateProfiled) -> None:
    state.profiles[event.profile.id] = event.profile


def _attempt_started(state: SessionState, event: ev.AttemptStarted) -> None:
    attempt = event.attempt
    state.attempts[attempt.step, attempt.number] = attempt
    step = state.steps.get(attempt.step)
    if step is not None:
        count = max(step.attempts, attempt.number)
        state.steps[attempt.step] = step.replaced(attempts=count)


def _progressed(state: SessionState, event: ev.EvaluationProgressed) -> None:
    if event.progress.state == "started" and event.progress.stage != "waiting":
        _attempt(state, event.step, event.attempt, stage=event.progress.stage)


def _attempt_finished(state: SessionState, event: ev.AttemptFinished) -> None:
    report = event.report
    _attempt(
        state,
        event.step,
        event.attempt,
        verdict=report.verdict,
        stage=report.reached,
        aggregate=report.score.aggregate if report.score else 0.0,
        reason="" if report.correct else report.feedback.summary,
        report=event.ref,
        seconds=report.seconds.total,
        cached=report.cached,
    )


def _pair_measured(state: SessionState, event: ev.PairMeasured) -> None:
    new = event.comparison
    old = state.comparisons.get(new.number)
    if old is not None:
        new = old.replaced(replicates=(*old.replicates, *new.replicates))
    state.comparisons[new.number] = new


def _gate_decided(state: SessionState, event: ev.GateDecided) -> None:
    number = event.decision.comparison
    if event.decision.outcome == "suspicious":
        _attempt(state, event.step, event.attempt, verdict=Verdict.SUSPICIOUS)
    if number is None:
        return
    row = state.comparisons[number]
    if event.decision.accepted:
        state.comparisons[number] = row.replaced(accepted=True, held=None)
    elif event.decision.outcome in ("refused", "unclear"):
        state.comparisons[number] = row.replaced(
            held=event.decision.outcome, held_at=len(row.replicates)
        )


def _attempt_rejected(state: SessionState, event: ev.AttemptRejected) -> None:
    _attempt(state, event.step, event.attempt, reason=event.reason)
    _end_approval(state)


def _approval_requested(state: SessionState, event: ev.ApprovalRequested) -> None:
    state.pending_approval = (event.attempt, event.decision)
    _session(state, approval_since=event.at)


def _approval_given(state: SessionState, event: ev.ApprovalGiven) -> None:
    _end_approval(state)


def _version_committed(state: SessionState, event: ev.VersionCommitted) -> None:
    version = event.version
    state.versions[version.number] = version
    if event.becomes_head:
        _session(state, head=version.number)
    if (version.step, version.attempt) in state.attempts:
        _attempt(state, version.step, version.attempt, version=version.number, reason="")
    step = state.steps.get(version.step)
    if step is not None:
        state.steps[version.step] = step.replaced(version=version.number)


def _version_remeasured(state: SessionState, event: ev.VersionRemeasured) -> None:
    version = state.versions[event.number]
    more = (*version.remeasurements, event.measurement)
    state.versions[event.number] = version.replaced(remeasurements=more)


def _version_audited(state: SessionState, event: ev.VersionAudited) -> None:
    version = state.versions[event.number]
    state.versions[event.number] = version.replaced(audits=(*version.audits, event.audit))
    if event.head is not None:
        _session(state, head=state.versions[event.head].number)


def _version_annotated(state: SessionState, event: ev.VersionAnnotated) -> None:
    version = state.versions[event.number]
    update = {"bookmark": event.bookmark, "note": event.note}
    state.versions[event.number] = version.replaced(**update)


def _command_taken(state: SessionState, event: ev.CommandTaken) -> None:
    state.commands[event.id] = CommandRecord(
        id=event.id,
        at=event.at,
        by=event.by,
        kind=event.command,
        summary=event.summary,
        effect=event.effect,
        refused=event.refused,
        undo=event.undo,
    )


def _hint_queued(state: SessionState, event: ev.HintQueued) -> None:
    state.hints[event.hint.id] = event.hint


def _hint_delivered(state: SessionState, event: ev.HintDelivered) -> None:
    _hint(
        state,
        event.hint,
        state="delivered",
        delivered_at=event.at,
        where=event.where,
        effect=event.effect,
    )


def _hint_closed(state: SessionState, event: ev.HintClosed) -> None:
    _hint(state, event.hint, state=event.state, where=event.why)


def _rewound(state: SessionState, event: ev.Rewound) -> None:
    if event.target not in state.versions:
        raise KeyError(event.target)
    _session(state, head=event.target)


def _budget_changed(state: SessionState, event: ev.BudgetChanged) -> None:
    _session(state, budget=event.budget)


def _spent(state: SessionState, event: ev.Spent) -> None:
    _add_spend(state, event.step, event.spend)


def _note_written(state: SessionState, event: ev.NoteWritten) -> None:
    state.memory[event.note.id] = event.note


def _note_removed(state: SessionState, event: ev.NoteRemoved) -> None:
    state.memory.pop(event.note, None)


def _intervened(state: SessionState, event: ev.SupervisorIntervened) -> None:
    state.supervision[event.intervention.id] = event.intervention


def _intervention_changed(state: SessionState, event: ev.InterventionChanged) -> None:
    update: dict[str, Any] = {"state": event.state}
    if event.directions is not None:
        update |= {"directions": event.directions, "review_wanted": False}
    if event.review is not None:
        update["review"] = event.review
    if event.avoid is not None:
        update["avoid"] = event.avoid
    old = state.supervision[event.intervention]
    state.supervision[event.intervention] = old.replaced(**update)


# -- what several of them do; the first argument is positional, for records have a `state` too


def _session(tables: SessionState, /, **update: Any) -> None:
    tables.session = tables.session.replaced(**update)


def _attempt(tables: SessionState, /, step: int, number: int, **update: Any) -> None:
    old = tables.attempts.get((step, number))
    if old is not None:
        tables.attempts[step, number] = old.replaced(**update)


def _hint(tables: SessionState, /, hint: str, **update: Any) -> None:
    tables.hints[hint] = tables.hints[hint].replaced(**update)


def _add_spend(tables: SessionState, /, step: int, spend: Spend) -> None:
    _session(tables, spend=tables.session.spend + spend)
    record = tables.steps.get(step)
    if record is not None:
        tables.steps[step] = record.replaced(spend=record.spend + spend)


_HANDLERS: dict[type, Callable[[SessionState, Any], None]] = {
    ev.EngineStarted: _engine_started,
    ev.EngineStopped: _engine_stopped,
    ev.StateChanged: _state_changed,
    ev.StepStarted: _step_started,
    ev.StepFinished: _step_finished,
    ev.MessageRecorded: _message_recorded,
    ev.AgentText: _agent_text,
    ev.SeatTaken: _seat_taken,
    ev.SeatLeft: _seat_left,
    ev.TroubleNoted: _trouble,
    ev.ModelStatusChanged: _model_status,
    ev.CandidateProfiled: _profiled,
    ev.AttemptStarted: _attempt_started,
    ev.EvaluationProgressed: _progressed,
    ev.AttemptFinished: _attempt_finished,
    ev.PairMeasured: _pair_measured,
    ev.GateDecided: _gate_decided,
    ev.AttemptRejected: _attempt_rejected,
    ev.ApprovalRequested: _approval_requested,
    ev.ApprovalGiven: _approval_given,
    ev.VersionCommitted: _version_committed,
    ev.VersionRemeasured: _version_remeasured,
    ev.VersionAudited: _version_audited,
    ev.VersionAnnotated: _version_annotated,
    ev.CommandTaken: _command_taken,
    ev.HintQueued: _hint_queued,
    ev.HintDelivered: _hint_delivered,
    ev.HintClosed: _hint_closed,
    ev.Rewound: _rewound,
    ev.BudgetChanged: _budget_changed,
    ev.Spent: _spent,
    ev.NoteWritten: _note_written,
    ev.NoteRemoved: _note_removed,
    ev.SupervisorIntervened: _intervened,
    ev.InterventionChanged: _intervention_changed,
}
