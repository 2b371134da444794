"""The acceptance gate: turns an attempt into a version, or records why it was rejected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avo_tui.domain import events as ev
from avo_tui.domain import stall_rules
from avo_tui.domain.base import now
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.questions import BreadthQuestion
from avo_tui.domain.records import Author, Note, Version
from avo_tui.domain.score import Score
from avo_tui.domain.verdict import Verdict
from avo_tui.evolution.admission.audit import UNDECIDED, Auditor
from avo_tui.evolution.admission.comparing import (
    Comparisons,
    NotComparableError,
    RivalFailedError,
)
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.control import Cut
from avo_tui.evolution.run import Run
from avo_tui.operators.ports import AttemptResult, Interrupted, SubmitResult

Along = Callable[[SubmitResult], Sequence[ev.Event]]
"""Events to record in the same transaction as the gate's decision."""


@dataclass(frozen=True)
class Proposal:
    """Data to store with the version, if the attempt becomes one."""

    parent: int
    """Number of the version that the candidate was derived from."""
    plan: str
    """Of the step."""
    summary: str
    author: Author
    model: str = ""
    """See `Version.model`."""
    built_on: Sequence[Note] = ()
    """Notes of the memory that were in front of its author."""
    origin: str = ""
    """`SESSION:VERSION` that it was carried over from; empty if it was made in this session."""
    idea: str = ""
    """What this candidate changes and why, in one line; empty where the plan says it."""


class AcceptanceGate:
    """Applies the session's acceptance gate to attempts, one at a time."""

    def __init__(self, run: Run, evaluations: EvaluationRecorder) -> None:
        self._run = run
        self._comparisons = Comparisons(run, evaluations)
        self._auditor = Auditor(run, evaluations)
        self._lock = asyncio.Lock()

    def foresee(self, candidate: str) -> None:
        """See `Gate.foresee`."""
        self._comparisons.foresee_gate(candidate)

    async def submit(
        self,
        attempt: AttemptResult,
        proposal: Proposal,
        *,
        cut: Cut,
        along: Along | None = None,
    ) -> SubmitResult:
        """Judge an attempt, and commit it if the gate accepts it.

        `along` gives further events for the same transaction as the decision. Submitting an attempt
        twice yields one version, because a recorded decision is not made again. Raises Interrupted;
        the attempt can then be submitted again.
        """
        async with self._lock:
            run = self._run
            record = run.state.attempts[attempt.step, attempt.number]
            if record.version is not None:
                version = run.state.versions[record.version]
                result = SubmitResult(decision=version.gate, version=version)
                self._conclude([], result, along)
                return result
            refusal = self._not_for_the_gate(attempt)
            if refusal:
                return self._reject(attempt, None, refusal, along)
            if proposal.author != "person" and (word := self._person_before(attempt)):
                return self._reject(attempt, None, word, along, by_person=True)
            decision, score = self._decided_before(attempt)
            if decision is None:
                try:
                    decision, score = await self._compare(attempt, cut)
                except NotComparableError as error:
                    return self._reject(attempt, None, str(error), along)
                if decision.accepted:
                    decision, score = await self._on_other_inputs(attempt, decision, score, cut)
                run.record(ev.GateDecided(attempt=attempt.number, decision=decision, score=score))
            if not decision.accepted:
                return self._reject(attempt, decision, decision.reason, along)
            if run.state.session.settings.approve_commits and proposal.author != "person":
                word = await self._ask_person(attempt, decision, cut)
                if word:
                    return self._reject(attempt, decision, word, along, by_person=True)
            version = self._version(attempt, decision, proposal, score)
            result = SubmitResult(decision=decision, version=version)
            committed: list[ev.Event] = [ev.VersionCommitted(version=version)]
            self._conclude([*committed, *stall_rules.closing(run.state)], result, along)
            return result

    async def _compare(self, attempt: AttemptResult, cut: Cut) -> tuple[GateDecision, Score | None]:
        """The gate's decision on an attempt, and its new score if it was measured again.

        If the version to beat fails, it is audited and the next best one takes its place. Raises
        NotComparableError and Interrupted.
        """
        fallen = ""
        while True:
            rival = self._run.reference()
            try:
                decision, score = await self._comparisons.compare(attempt, cut)
            except RivalFailedError as failure:
                if not await self._auditor.rival_failed(rival.number, failure, cut):
                    raise NotComparableError(str(failure)) from failure
                fallen += f"; v{rival.number}, which was to be beaten, failed beside it ({failure})"
                fallen += " and lost its place"
            else:
                return decision.replaced(reason=f"{decision.reason}{fallen}"), score

    async def _on_other_inputs(
        self, attempt: AttemptResult, decision: GateDecision, score: Score | None, cut: Cut
    ) -> tuple[GateDecision, Score | None]:
        """The decision on what would be committed, and its score with the speed on inputs that are
        not scored. It is refused where it is wrong on them, or slower than the task asks for.

        Raises Interrupted.
        """
        run, why = self._run, ""
        least = run.state.session.task.least_breadth
        question = BreadthQuestion(files=run.candidate(attempt.candidate).files)
        try:
            report = await self._comparisons.ask(question, cut, attempt.number)
        except NotComparableError as error:
            why = str(error) if least is not None else ""
        else:
            told = ": ".join(filter(None, [report.feedback.summary, report.feedback.detail]))
            blamed = report.verdict.judges_candidate and report.verdict not in UNDECIDED
            timed = score or attempt.report.score
            if timed is not None and report.breadth is not None:
                score = timed.with_breadth(report.breadth)
                if least is not None and min(score.breadth.values()) < least:
                    told = ", ".join(score.on_other_inputs)
                    why = f"{told}; the task asks for {least:g} × at least"
            elif least is not None or (blamed and not report.correct):
                why = f"on other inputs: {report.verdict}: {told}"
            elif not report.correct:
                run.trouble("gate", f"not timed on other inputs: {told}")
        if why:
            reason = f"{decision.reason}, but refused: {why}"
            decision = decision.replaced(accepted=False, outcome="refused", reason=reason)
        return decision, score

    def _reject(
        self,
        attempt: AttemptResult,
        decision: GateDecision | None,
        reason: str,
        along: Along | None,
        *,
        by_person: bool = False,
    ) -> SubmitResult:
        result = SubmitResult(decision=decision, reason=reason)
        rejected = ev.AttemptRejected(attempt=attempt.number, reason=reason, by_person=by_person)
        self._conclude([rejected], result, along)
        return result

    def _conclude(
        self, events: Sequence[ev.Event], result: SubmitResult, along: Along | None
    ) -> None:
        """Record the final decision together with the caller's events, in one transaction."""
        events = [*events, *(along(result) if along is not None else ())]
        if events:
            self._run.record(*events)

    def _version(
        self,
        attempt: AttemptResult,
        decision: GateDecision,
        proposal: Proposal,
        score: Score | None,
    ) -> Version:
        """`score`: where it is not that of the attempt's report."""
        report = attempt.report
        score = score or report.score
        assert score is not None
        return Version(
            number=max(self._run.state.versions) + 1,
            parent=proposal.parent,
            step=attempt.step,
            attempt=attempt.number,
            candidate=attempt.candidate,
            score=score,
            conditions=report.conditions,
            gate=decision,
            author=proposal.author,
            model=proposal.model,
            idea=proposal.idea,
            plan=proposal.plan,
            summary=proposal.summary,
            built_on=tuple(proposal.built_on),
            origin=proposal.origin,
            resources=report.resources,
            device=report.device,
            created=now(),
        )

    def _not_for_the_gate(self, attempt: AttemptResult) -> str:
        report = attempt.report
        if report.score is None or not report.correct:
            return report.feedback.summary or f"the verdict is {report.verdict}"
        for version in self._run.state.versions.values():
            if version.candidate == attempt.candidate:
                return f"the same source is v{version.number} already"
        for other in self._run.state.attempts.values():
            if other.candidate == attempt.candidate and other.verdict is Verdict.SUSPICIOUS:
                where = f"attempt {other.number} of step {other.step}"
                return f"the same source is suspicious since {where}: {other.reason}"
        return ""

    def _person_before(self, attempt: AttemptResult) -> str:
        """Why the person rejected the same source before; empty if they did not.

        The person is not asked about it again, but can still submit it themselves.
        """
        for other in self._run.state.attempts.values():
            itself = (other.step, other.number) == (attempt.step, attempt.number)
            if other.refused_by_person and other.candidate == attempt.candidate and not itself:
                where = f"attempt {other.number} of step {other.step}"
                return f"the same source was refused in {where}: {other.reason}"
        return ""

    def _decided_before(self, attempt: AttemptResult) -> tuple[GateDecision | None, Score | None]:
        """A decision that a crash or an interruption kept from its commit, if it still holds.

        With the score that was measured for it, where one was. A decision that was carried
        out is none: the same attempt submitted again is measured on, and its pairs are pooled.
        """
        for event in reversed(self._run.writer.step_events(attempt.step)):
            if isinstance(event, ev.AttemptRejected) and event.attempt == attempt.number:
                break
            if isinstance(event, ev.GateDecided) and event.attempt == attempt.number:
                if event.decision.reference == self._run.reference().number:
                    return event.decision, event.score
                break
        return None, None

    async def _ask_person(self, attempt: AttemptResult, decision: GateDecision, cut: Cut) -> str:
        """Wait until the person approves or rejects a commit; returns the reason if rejected, else
        ""."""
        given = self._word(attempt)
        if given is None and not self._pending(attempt):
            self._run.record(ev.ApprovalRequested(attempt=attempt.number, decision=decision))
        self._run.settle()
        self._run.clock.hold("approval")
        try:
            while given is None:
                reason = cut()
                if reason is not None:
                    raise Interrupted(reason)
                await self._run.idle()
                given = self._word(attempt)
        finally:
            self._run.clock.release("approval")
        if given.approved:
            return ""
        return (
            f"rejected by the person: {given.reason}" if given.reason else "rejected by the person"
        )

    def _pending(self, attempt: AttemptResult) -> bool:
        pending = self._run.state.pending_approval
        return pending is not None and pending[0] == attempt.number

    def _word(self, attempt: AttemptResult) -> ev.ApprovalGiven | None:
        if self._pending(attempt):
            return None
        for event in reversed(self._run.writer.step_events(attempt.step)):
            if isinstance(event, ev.ApprovalGiven) and event.attempt == attempt.number:
                return event
        return None
