"""The state of a session: a fold over its events, and nothing else."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    SessionRecord,
    Step,
    Version,
)
from avo_tui.domain.verdict import Verdict

K = TypeVar("K")
V = TypeVar("V")


def _over(table: dict[K, V]) -> dict[K, V]:
    """A table that can be changed without changing the one beneath."""
    return cast("dict[K, V]", ChainMap({}, table))


@dataclass
class SessionState:
    """All tables of a session. Changed by `apply` alone."""

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
    """The attempt that waits for the person's word."""

    @classmethod
    def begin(cls, event: ev.SessionCreated) -> SessionState:
        """The state after the first event."""
        state = cls(session=event.session)
        state._touch(event)
        return state

    @property
    def best(self) -> Version | None:
        """The best version, by the one rule of `lineage.best`."""
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
        """Fold one event in. Events up to `session.applied` are passed over, so replaying is safe.

        Raises KeyError where an event speaks of a record that is not there: a broken journal.
        """
        if event.seq and event.seq <= self.session.applied:
            return
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)
        self._touch(event)

    def trial(self) -> SessionState:
        """A copy to try events on: changes to it leave this state as it is."""
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
        """`apply`, for an event that is about to be recorded: refuses what must never be.

        Raises KeyError for a record that is not there, ValueError for a version that would be
        overwritten. The state is then of no use any more: call it on a `trial()`.
        """
        if isinstance(event, ev.VersionCommitted):
            version = event.version
            if version.number in self.versions:
                raise ValueError(f"v{version.number} is in the lineage already")
            if version.parent is not None and version.parent not in self.versions:
                raise KeyError(version.parent)
        self.apply(event)

    def skip(self, event: ev.Event) -> None:
        """Count an event whose change cannot be made: what a reader of a broken journal does."""
        self._touch(event)

    def _touch(self, event: ev.Event) -> None:
        update: dict[str, Any] = {"last_event_at": event.at}
        if event.seq:
            update["applied"] = event.seq
        self._session(**update)

    def _session(self, **update: Any) -> None:
        self.session = self.session.replaced(**update)

    # -- handlers

    def _engine_started(self, event: ev.EngineStarted) -> None:
        self._session(engine=event.engine, waiting_since=None, degraded=())

    def _engine_stopped(self, event: ev.EngineStopped) -> None:
        self._session(
            state=event.state,
            state_reason=event.reason,
            parked_until=None,
            waiting_since=None,
            degraded=(),
        )

    def _state_changed(self, event: ev.StateChanged) -> None:
        self._session(
            state=event.state,
            state_reason=event.reason,
            parked_until=event.until,
            waiting_since=None,
        )

    def _step_started(self, event: ev.StepStarted) -> None:
        self.steps[event.step] = Step(
            number=event.step, parent=event.parent, started=event.at, command=event.command
        )
        self._session(step=event.step)

    def _step_finished(self, event: ev.StepFinished) -> None:
        step = self.steps[event.step]
        self.steps[event.step] = step.replaced(
            ended=event.at,
            outcome=event.outcome,
            reason=event.reason,
            version=event.version if event.version is not None else step.version,
        )
        self._add_spend(event.step, Spend(steps=1))
        self._session(waiting_since=None)
        self.pending_approval = None
        for hint in list(self.hints.values()):
            if hint.state == "delivered" and hint.scope == "step":
                self._hint(hint.id, state="expired")

    def _message_recorded(self, event: ev.MessageRecorded) -> None:
        if event.awaits_answer:
            self._session(waiting_since=event.at)
        elif event.role == "assistant":
            self._session(waiting_since=None)

    def _agent_text(self, event: ev.AgentText) -> None:
        if self.session.waiting_since is not None:
            self._session(waiting_since=event.at)

    def _trouble(self, event: ev.TroubleNoted) -> None:
        if self.session.waiting_since is not None:
            self._session(waiting_since=None)

    def _model_status(self, event: ev.ModelStatusChanged) -> None:
        self._session(degraded=event.degraded)

    def _profiled(self, event: ev.CandidateProfiled) -> None:
        self.profiles[event.profile.id] = event.profile

    def _attempt_started(self, event: ev.AttemptStarted) -> None:
        attempt = event.attempt
        self.attempts[attempt.step, attempt.number] = attempt
        step = self.steps.get(attempt.step)
        if step is not None:
            count = max(step.attempts, attempt.number)
            self.steps[attempt.step] = step.replaced(attempts=count)

    def _progressed(self, event: ev.EvaluationProgressed) -> None:
        if event.progress.state == "started" and event.progress.stage != "waiting":
            self._attempt(event.step, event.attempt, stage=event.progress.stage)

    def _attempt_finished(self, event: ev.AttemptFinished) -> None:
        report = event.report
        self._attempt(
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

    def _pair_measured(self, event: ev.PairMeasured) -> None:
        new = event.comparison
        old = self.comparisons.get(new.number)
        if old is not None:
            new = old.replaced(replicates=(*old.replicates, *new.replicates))
        self.comparisons[new.number] = new

    def _gate_decided(self, event: ev.GateDecided) -> None:
        number = event.decision.comparison
        if event.decision.outcome == "suspicious":
            self._attempt(event.step, event.attempt, verdict=Verdict.SUSPICIOUS)
        if number is not None and event.decision.accepted:
            self.comparisons[number] = self.comparisons[number].replaced(accepted=True)

    def _attempt_rejected(self, event: ev.AttemptRejected) -> None:
        self._attempt(event.step, event.attempt, reason=event.reason)
        self.pending_approval = None

    def _approval_requested(self, event: ev.ApprovalRequested) -> None:
        self.pending_approval = (event.attempt, event.decision)

    def _approval_given(self, event: ev.ApprovalGiven) -> None:
        self.pending_approval = None

    def _version_committed(self, event: ev.VersionCommitted) -> None:
        version = event.version
        self.versions[version.number] = version
        if event.becomes_head:
            self._session(head=version.number)
        if (version.step, version.attempt) in self.attempts:
            self._attempt(version.step, version.attempt, version=version.number, reason="")
        step = self.steps.get(version.step)
        if step is not None:
            self.steps[version.step] = step.replaced(version=version.number)

    def _version_remeasured(self, event: ev.VersionRemeasured) -> None:
        version = self.versions[event.number]
        more = (*version.remeasurements, event.measurement)
        self.versions[event.number] = version.replaced(remeasurements=more)

    def _version_audited(self, event: ev.VersionAudited) -> None:
        version = self.versions[event.number]
        self.versions[event.number] = version.replaced(audits=(*version.audits, event.audit))
        if event.head is not None:
            self._session(head=self.versions[event.head].number)

    def _version_annotated(self, event: ev.VersionAnnotated) -> None:
        version = self.versions[event.number]
        update = {"bookmark": event.bookmark, "note": event.note}
        self.versions[event.number] = version.replaced(**update)

    def _command_taken(self, event: ev.CommandTaken) -> None:
        self.commands[event.id] = CommandRecord(
            id=event.id,
            at=event.at,
            by=event.by,
            kind=event.command,
            summary=event.summary,
            effect=event.effect,
            refused=event.refused,
            undo=event.undo,
        )

    def _hint_queued(self, event: ev.HintQueued) -> None:
        self.hints[event.hint.id] = event.hint

    def _hint_delivered(self, event: ev.HintDelivered) -> None:
        self._hint(
            event.hint,
            state="delivered",
            delivered_at=event.at,
            where=event.where,
            effect=event.effect,
        )

    def _hint_closed(self, event: ev.HintClosed) -> None:
        self._hint(event.hint, state=event.state, where=event.why)

    def _rewound(self, event: ev.Rewound) -> None:
        if event.target not in self.versions:
            raise KeyError(event.target)
        self._session(head=event.target)

    def _budget_changed(self, event: ev.BudgetChanged) -> None:
        self._session(budget=event.budget)

    def _spent(self, event: ev.Spent) -> None:
        self._add_spend(event.step, event.spend)

    def _note_written(self, event: ev.NoteWritten) -> None:
        self.memory[event.note.id] = event.note

    def _note_removed(self, event: ev.NoteRemoved) -> None:
        self.memory.pop(event.note, None)

    def _intervened(self, event: ev.SupervisorIntervened) -> None:
        self.supervision[event.intervention.id] = event.intervention

    def _intervention_changed(self, event: ev.InterventionChanged) -> None:
        update: dict[str, Any] = {"state": event.state}
        if event.directions is not None:
            update |= {"directions": event.directions, "review_wanted": False}
        if event.review is not None:
            update["review"] = event.review
        if event.avoid is not None:
            update["avoid"] = event.avoid
        old = self.supervision[event.intervention]
        self.supervision[event.intervention] = old.replaced(**update)

    # -- helpers

    def _attempt(self, step: int, number: int, **update: Any) -> None:
        old = self.attempts.get((step, number))
        if old is not None:
            self.attempts[step, number] = old.replaced(**update)

    def _hint(self, hint: str, **update: Any) -> None:
        self.hints[hint] = self.hints[hint].replaced(**update)

    def _add_spend(self, step: int, spend: Spend) -> None:
        self._session(spend=self.session.spend + spend)
        record = self.steps.get(step)
        if record is not None:
            self.steps[step] = record.replaced(spend=record.spend + spend)


_HANDLERS: dict[type, Callable[[SessionState, Any], None]] = {
    ev.EngineStarted: SessionState._engine_started,
    ev.EngineStopped: SessionState._engine_stopped,
    ev.StateChanged: SessionState._state_changed,
    ev.StepStarted: SessionState._step_started,
    ev.StepFinished: SessionState._step_finished,
    ev.MessageRecorded: SessionState._message_recorded,
    ev.AgentText: SessionState._agent_text,
    ev.TroubleNoted: SessionState._trouble,
    ev.ModelStatusChanged: SessionState._model_status,
    ev.CandidateProfiled: SessionState._profiled,
    ev.AttemptStarted: SessionState._attempt_started,
    ev.EvaluationProgressed: SessionState._progressed,
    ev.AttemptFinished: SessionState._attempt_finished,
    ev.PairMeasured: SessionState._pair_measured,
    ev.GateDecided: SessionState._gate_decided,
    ev.AttemptRejected: SessionState._attempt_rejected,
    ev.ApprovalRequested: SessionState._approval_requested,
    ev.ApprovalGiven: SessionState._approval_given,
    ev.VersionCommitted: SessionState._version_committed,
    ev.VersionRemeasured: SessionState._version_remeasured,
    ev.VersionAudited: SessionState._version_audited,
    ev.VersionAnnotated: SessionState._version_annotated,
    ev.CommandTaken: SessionState._command_taken,
    ev.HintQueued: SessionState._hint_queued,
    ev.HintDelivered: SessionState._hint_delivered,
    ev.HintClosed: SessionState._hint_closed,
    ev.Rewound: SessionState._rewound,
    ev.BudgetChanged: SessionState._budget_changed,
    ev.Spent: SessionState._spent,
    ev.NoteWritten: SessionState._note_written,
    ev.NoteRemoved: SessionState._note_removed,
    ev.SupervisorIntervened: SessionState._intervened,
    ev.InterventionChanged: SessionState._intervention_changed,
}
