"""How each kind of event changes the tables of a session.

`HANDLERS` maps each kind of event to the function that applies it. A kind without a function only
updates the number and the time of the last event.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Spend
from avo_tui.domain.commands import CommandRecord
from avo_tui.domain.records import RunState, Step
from avo_tui.domain.tables import Tables
from avo_tui.domain.verdict import Verdict

FOLD = 1
"""Version of the fold. Raise it whenever the events of old sessions are to give other tables, such
as a new field: tables on disk that an older version wrote are then folded anew from the journal."""


def _state_since(state: Tables, now: RunState, at: datetime) -> datetime | None:
    """When the run entered the state `now`: `at`, unless it was in that state already."""
    return state.session.state_since if now == state.session.state else at


def _end_approval(state: Tables) -> None:
    state.pending_approval = None
    if state.session.approval_since is not None:
        _session(state, approval_since=None)


# -- one function for each kind of event


def _engine_started(state: Tables, event: ev.EngineStarted) -> None:
    _session(state, engine=event.engine, waiting_since=None, degraded=(), occupant=None)


def _engine_stopped(state: Tables, event: ev.EngineStopped) -> None:
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


def _state_changed(state: Tables, event: ev.StateChanged) -> None:
    _session(
        state,
        state=event.state,
        state_reason=event.reason,
        state_since=_state_since(state, event.state, event.at),
        parked_until=event.until,
        waiting_since=None,
    )


def _step_started(state: Tables, event: ev.StepStarted) -> None:
    state.steps[event.step] = Step(
        number=event.step, parent=event.parent, started=event.at, command=event.command
    )
    _session(state, step=event.step)


def _step_finished(state: Tables, event: ev.StepFinished) -> None:
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


def _message_recorded(state: Tables, event: ev.MessageRecorded) -> None:
    if event.awaits_answer:
        _session(state, waiting_since=event.at)
    elif event.role == "assistant":
        _session(state, waiting_since=None)


def _agent_text(state: Tables, event: ev.AgentText) -> None:
    if state.session.waiting_since is not None:
        _session(state, waiting_since=event.at)


def _trouble(state: Tables, event: ev.TroubleNoted) -> None:
    if state.session.waiting_since is not None:
        _session(state, waiting_since=None)


def _model_status(state: Tables, event: ev.ModelStatusChanged) -> None:
    _session(state, degraded=event.degraded)


def _seat_taken(state: Tables, event: ev.SeatTaken) -> None:
    _session(state, occupant=event.occupant)


def _seat_left(state: Tables, event: ev.SeatLeft) -> None:
    _session(state, occupant=None)


def _profiled(state: Tables, event: ev.CandidateProfiled) -> None:
    state.profiles[event.profile.id] = event.profile


def _attempt_started(state: Tables, event: ev.AttemptStarted) -> None:
    attempt = event.attempt
    state.attempts[attempt.step, attempt.number] = attempt
    step = state.steps.get(attempt.step)
    if step is not None:
        count = max(step.attempts, attempt.number)
        state.steps[attempt.step] = step.replaced(attempts=count)


def _progressed(state: Tables, event: ev.EvaluationProgressed) -> None:
    if event.progress.state == "started" and event.progress.stage != "waiting":
        _attempt(state, event.step, event.attempt, stage=event.progress.stage)


def _attempt_finished(state: Tables, event: ev.AttemptFinished) -> None:
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
        report_event=0 if event.ref is not None else event.seq,
        seconds=report.seconds.total,
        cached=report.cached,
        worker=report.worker,
    )


def _pair_measured(state: Tables, event: ev.PairMeasured) -> None:
    new = event.comparison
    old = state.comparisons.get(new.number)
    if old is not None:
        new = old.replaced(replicates=(*old.replicates, *new.replicates))
    state.comparisons[new.number] = new


def _gate_decided(state: Tables, event: ev.GateDecided) -> None:
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


def _attempt_rejected(state: Tables, event: ev.AttemptRejected) -> None:
    _attempt(
        state, event.step, event.attempt, reason=event.reason, refused_by_person=event.by_person
    )
    _end_approval(state)


def _approval_requested(state: Tables, event: ev.ApprovalRequested) -> None:
    state.pending_approval = (event.attempt, event.decision)
    _session(state, approval_since=event.at)


def _approval_given(state: Tables, event: ev.ApprovalGiven) -> None:
    _end_approval(state)


def _version_committed(state: Tables, event: ev.VersionCommitted) -> None:
    version = event.version
    state.versions[version.number] = version
    if event.becomes_head:
        _session(state, head=version.number)
    if (version.step, version.attempt) in state.attempts:
        _attempt(state, version.step, version.attempt, version=version.number, reason="")
    step = state.steps.get(version.step)
    if step is not None:
        state.steps[version.step] = step.replaced(version=version.number)


def _version_remeasured(state: Tables, event: ev.VersionRemeasured) -> None:
    version = state.versions[event.number]
    more = (*version.remeasurements, event.measurement)
    state.versions[event.number] = version.replaced(remeasurements=more)


def _version_audited(state: Tables, event: ev.VersionAudited) -> None:
    version = state.versions[event.number]
    state.versions[event.number] = version.replaced(audits=(*version.audits, event.audit))
    if event.head is not None:
        _session(state, head=state.versions[event.head].number)


def _version_annotated(state: Tables, event: ev.VersionAnnotated) -> None:
    version = state.versions[event.number]
    update = {"bookmark": event.bookmark, "note": event.note}
    state.versions[event.number] = version.replaced(**update)


def _command_taken(state: Tables, event: ev.CommandTaken) -> None:
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


def _hint_queued(state: Tables, event: ev.HintQueued) -> None:
    state.hints[event.hint.id] = event.hint


def _hint_delivered(state: Tables, event: ev.HintDelivered) -> None:
    _hint(
        state,
        event.hint,
        state="delivered",
        delivered_at=event.at,
        where=event.where,
        effect=event.effect,
    )


def _hint_closed(state: Tables, event: ev.HintClosed) -> None:
    _hint(state, event.hint, state=event.state, where=event.why)


def _rewound(state: Tables, event: ev.Rewound) -> None:
    if event.target not in state.versions:
        raise KeyError(event.target)
    _session(state, head=event.target, rewound_at=event.at)


def _budget_changed(state: Tables, event: ev.BudgetChanged) -> None:
    _session(state, budget=event.budget)


def _options_changed(state: Tables, event: ev.OptionsChanged) -> None:
    _session(state, settings=state.session.settings.with_options(event.options))


def _spent(state: Tables, event: ev.Spent) -> None:
    _add_spend(state, event.step, event.spend)


def _note_written(state: Tables, event: ev.NoteWritten) -> None:
    state.memory[event.note.id] = event.note


def _note_removed(state: Tables, event: ev.NoteRemoved) -> None:
    state.memory.pop(event.note, None)


def _intervened(state: Tables, event: ev.SupervisorIntervened) -> None:
    state.supervision[event.intervention.id] = event.intervention


def _intervention_changed(state: Tables, event: ev.InterventionChanged) -> None:
    update: dict[str, Any] = {"state": event.state}
    if event.directions is not None:
        update |= {"directions": event.directions, "review_wanted": False}
    if event.review is not None:
        update["review"] = event.review
    if event.avoid is not None:
        update["avoid"] = event.avoid
    old = state.supervision[event.intervention]
    state.supervision[event.intervention] = old.replaced(**update)


# -- changes that several events share; `tables` is positional-only: records have a field `state`


def _session(tables: Tables, /, **update: Any) -> None:
    tables.session = tables.session.replaced(**update)


def _attempt(tables: Tables, /, step: int, number: int, **update: Any) -> None:
    old = tables.attempts.get((step, number))
    if old is not None:
        tables.attempts[step, number] = old.replaced(**update)


def _hint(tables: Tables, /, hint: str, **update: Any) -> None:
    tables.hints[hint] = tables.hints[hint].replaced(**update)


def _add_spend(tables: Tables, /, step: int, spend: Spend) -> None:
    _session(tables, spend=tables.session.spend + spend)
    record = tables.steps.get(step)
    if record is not None:
        tables.steps[step] = record.replaced(spend=record.spend + spend)


HANDLERS: dict[type, Callable[[Tables, Any], None]] = {
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
    ev.OptionsChanged: _options_changed,
    ev.Spent: _spent,
    ev.NoteWritten: _note_written,
    ev.NoteRemoved: _note_removed,
    ev.SupervisorIntervened: _intervened,
    ev.InterventionChanged: _intervention_changed,
}
