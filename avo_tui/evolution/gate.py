"""The acceptance gate: measured again, interleaved with the reference, before the commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avo_tui.domain import events as ev
from avo_tui.domain.acceptance import GateDecision, decide, worth_remeasuring
from avo_tui.domain.base import now
from avo_tui.domain.records import Author, Note, Version
from avo_tui.domain.score import PairedMeasurement
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution.measure import Cut
from avo_tui.operators.ports import AttemptResult, Interrupted, SubmitResult

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine


async def submit(
    engine: Engine,
    attempt: AttemptResult,
    *,
    parent: int,
    plan: str,
    summary: str,
    author: Author,
    cut: Cut,
    built_on: Sequence[Note] = (),
) -> SubmitResult:
    """Ask the gate about an attempt, and commit what passes.

    Asking twice about one attempt gives one version: what was decided is read from the record.
    Raises Interrupted; the attempt can then be submitted again.
    """
    async with engine.gate_lock:
        record = engine.state.attempts[attempt.step, attempt.number]
        if record.version is not None:
            version = engine.state.versions[record.version]
            return SubmitResult(decision=version.gate, version=version)
        refusal = _not_for_the_gate(engine, attempt)
        if refusal:
            engine.record(ev.AttemptRejected(attempt=attempt.number, reason=refusal))
            return SubmitResult(decision=None, reason=refusal)
        decision = _decided_before(engine, attempt)
        if decision is None:
            decision, failure = await _decide(engine, attempt, cut)
            if failure:
                engine.record(ev.AttemptRejected(attempt=attempt.number, reason=failure))
                return SubmitResult(decision=None, reason=failure)
            engine.record(ev.GateDecided(attempt=attempt.number, decision=decision))
        if not decision.accepted:
            engine.record(ev.AttemptRejected(attempt=attempt.number, reason=decision.reason))
            return SubmitResult(decision=decision, reason=decision.reason)
        if engine.state.session.settings.approve_commits and author != "person":
            word = await _ask_person(engine, attempt, decision, cut)
            if word:
                engine.record(ev.AttemptRejected(attempt=attempt.number, reason=word))
                return SubmitResult(decision=decision, reason=word)
        report = attempt.report
        assert report.score is not None
        version = Version(
            number=max(engine.state.versions) + 1,
            parent=parent,
            step=attempt.step,
            attempt=attempt.number,
            candidate=attempt.candidate,
            score=report.score,
            gate=decision,
            plan=plan,
            summary=summary,
            author=author,
            resources=report.resources,
            device=report.device,
            created=now(),
            built_on=tuple(built_on),
        )
        engine.record(ev.VersionCommitted(version=version))
        engine.supervisor.committed()
        return SubmitResult(decision=decision, version=version)


def _not_for_the_gate(engine: Engine, attempt: AttemptResult) -> str:
    report = attempt.report
    if report.score is None or not report.correct:
        return report.feedback.summary or f"the verdict is {report.verdict}"
    for version in engine.state.versions.values():
        if version.candidate == attempt.candidate:
            return f"the same source is v{version.number} already"
    return ""


def _decided_before(engine: Engine, attempt: AttemptResult) -> GateDecision | None:
    """A decision that a crash or an interruption kept from its commit, if it still holds."""
    for event in reversed(engine.writer.step_events(attempt.step)):
        if isinstance(event, ev.GateDecided) and event.attempt == attempt.number:
            same = event.decision.reference == engine.reference().number
            return event.decision if same else None
    return None


async def _decide(engine: Engine, attempt: AttemptResult, cut: Cut) -> tuple[GateDecision, str]:
    """(decision, why no decision could be made)."""
    session, reference, score = engine.state.session, engine.reference(), attempt.report.score
    assert score is not None
    gate = session.settings.gate
    paired: PairedMeasurement | None = None
    if worth_remeasuring(gate, score, reference.score):
        work = engine.evaluator.remeasure(
            session.task.name,
            engine.candidate(attempt.candidate),
            engine.candidate(reference.candidate),
            progress=lambda p: engine.measure.note_progress(attempt.number, p),
        )
        try:
            report = await engine.measure.plain(work, cut)
        except EvaluatorError as error:
            engine.trouble("gate", str(error))
            return _no_decision(gate, reference.number), str(error)
        if not report.correct or report.paired is None:
            why = f"measured again: {report.feedback.summary or report.verdict}"
            return _no_decision(gate, reference.number), why
        paired = report.paired
    return decide(gate, score, reference.score, reference.number, paired), ""


def _no_decision(gate: str, reference: int) -> GateDecision:
    return GateDecision.model_validate(
        {"gate": gate, "accepted": False, "reason": "", "reference": reference}
    )


async def _ask_person(
    engine: Engine, attempt: AttemptResult, decision: GateDecision, cut: Cut
) -> str:
    """Waits for the person's word on a commit; "" is yes, anything else the reason for no."""
    given = _word(engine, attempt)
    if given is None and not _pending(engine, attempt):
        engine.record(ev.ApprovalRequested(attempt=attempt.number, decision=decision))
    engine.settle()
    engine.clock.hold("approval")
    try:
        while given is None:
            reason = cut()
            if reason is not None:
                raise Interrupted(reason)
            await engine.control.changed()
            given = _word(engine, attempt)
    finally:
        engine.clock.release("approval")
    if given.approved:
        return ""
    return f"rejected by the person: {given.reason}" if given.reason else "rejected by the person"


def _pending(engine: Engine, attempt: AttemptResult) -> bool:
    pending = engine.state.pending_approval
    return pending is not None and pending[0] == attempt.number


def _word(engine: Engine, attempt: AttemptResult) -> ev.ApprovalGiven | None:
    if _pending(engine, attempt):
        return None
    for event in reversed(engine.writer.step_events(attempt.step)):
        if isinstance(event, ev.ApprovalGiven) and event.attempt == attempt.number:
            return event
    return None
