"""Evaluations with their records: attempts, progress, answers from the record, interruptions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Attempt
from avo_tui.domain.verdict import EvaluationProgress, EvaluationReport, Feedback, Verdict
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.operators.ports import AttemptResult, Interrupted
from avo_tui.store import NoSpace

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine

log = logging.getLogger(__name__)

Cut = Callable[[], str | None]
WAITING_SECONDS = 15.0
"""A wait for the device is journalled so often: enough for a screen, little over a night."""
HARNESS_ERRORS = 3
"""Failures of the harness in a row after which the run pauses."""


class Measure:
    """Runs the evaluator for the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, tuple[int, int]] = {}
        self._indexed = False
        self._harness_errors = 0
        self._say_waiting_after = 0.0

    def known(self, identity: str) -> Attempt | None:
        """The first attempt at this candidate that was judged."""
        attempts = self._engine.state.attempts
        if not self._indexed:
            for attempt in attempts.values():
                self._remember(attempt)
            self._indexed = True
        place = self._known.get(identity)
        return attempts[place] if place is not None else None

    def _remember(self, attempt: Attempt) -> None:
        if attempt.verdict is not None and attempt.verdict.judges_candidate and not attempt.cached:
            self._known.setdefault(attempt.candidate, (attempt.step, attempt.number))

    def _answer_from_record(self, identity: str) -> EvaluationReport | None:
        attempt = self.known(identity)
        report = self._engine.report(attempt) if attempt is not None else None
        machine = self._engine.machine
        if report is None or machine is None or report.conditions != machine.conditions:
            return None
        if report.verdict is Verdict.TIMEOUT:
            return None  # may have been the machine; worth another look
        return report.model_copy(update={"cached": True})

    async def attempt(
        self, candidate: Candidate, *, title: str, parent: int, cut: Cut, fresh: bool = False
    ) -> AttemptResult:
        """The whole of f for one candidate, as the next attempt of the open step.

        A candidate that was judged before under the same conditions is answered from the record,
        unless it is to be measured `fresh`.
        Raises Interrupted (the attempt is then on record as cancelled) and EvaluatorError.
        """
        engine = self._engine
        step = engine.state.session.step
        number = engine.next_attempt(step)
        engine.writer.put(candidate.canonical())
        engine.record(
            ev.AttemptStarted(
                attempt=Attempt(
                    step=step,
                    number=number,
                    parent=parent,
                    candidate=candidate.id,
                    title=title[:200],
                    at=now(),
                )
            )
        )
        report = None if fresh else self._answer_from_record(candidate.id)
        if report is None:
            work = engine.evaluator.evaluate(
                engine.state.session.task.name, candidate, progress=self._progress(number)
            )
            try:
                report = await self._measured(work, cut)
            except Interrupted as error:
                self.finish(
                    step, number, self.cancelled(candidate.id, error.reason or "interrupted")
                )
                raise
            except EvaluatorError as error:
                self.finish(step, number, self.cancelled(candidate.id, str(error), harness=True))
                raise
        self.finish(step, number, report)
        await self._mind_harness(report)
        return AttemptResult(step=step, number=number, candidate=candidate.id, report=report)

    async def _measured(self, work: Awaitable[EvaluationReport], cut: Cut) -> EvaluationReport:
        try:
            report = await self._engine.control.race(work, cut)
        finally:
            self._engine.clock.release("device")
        machine = self._engine.machine
        if not report.conditions and machine is not None:
            report = report.model_copy(update={"conditions": machine.conditions})
        return report

    async def plain(self, work: Awaitable[EvaluationReport], cut: Cut) -> EvaluationReport:
        """A compilation, check or re-measurement that is not an attempt. Raises Interrupted."""
        return await self._measured(work, cut)

    def finish(self, step: int, number: int, report: EvaluationReport) -> None:
        """Puts the outcome of an attempt on record."""
        engine = self._engine
        ref = engine.writer.put(report.model_dump_json())
        engine.record(ev.AttemptFinished(step=step, attempt=number, report=report, ref=ref))
        self._remember(engine.state.attempts[step, number])
        if report.verdict.judges_candidate and not report.cached:
            engine.record(ev.Spent(spend=Spend(evaluations=1)))

    async def _mind_harness(self, report: EvaluationReport) -> None:
        """Pauses the run when the machine, not a candidate, fails: no device, a broken harness."""
        if report.verdict is Verdict.NO_DEVICE and self._engine.state.versions:
            self._engine.trouble("evaluation", report.feedback.summary)
            await self._engine.waits.pause_for(report.feedback.summary)
            return
        if report.verdict is not Verdict.HARNESS_ERROR:
            self._harness_errors = 0
            return
        self._harness_errors += 1
        self._engine.trouble("evaluation", report.feedback.summary, report.feedback.log)
        if self._harness_errors >= HARNESS_ERRORS:
            self._harness_errors = 0
            reason = (
                f"the harness failed {HARNESS_ERRORS} times in a row: {report.feedback.summary}"
            )
            await self._engine.waits.pause_for(reason)

    def cancelled(self, identity: str, why: str, *, harness: bool = False) -> EvaluationReport:
        """The report of an evaluation that was cut off, or that the evaluator could not serve."""
        return EvaluationReport(
            task=self._engine.state.session.task.name,
            candidate=identity,
            verdict=Verdict.HARNESS_ERROR if harness else Verdict.CANCELLED,
            feedback=Feedback(summary=why),
            at=now(),
        )

    def _progress(self, attempt: int) -> Callable[[EvaluationProgress], None]:
        return lambda progress: self.note_progress(attempt, progress)

    def note_progress(self, attempt: int, progress: EvaluationProgress) -> None:
        """Journals a sign of life. Waiting for the device stops the clock."""
        clock = self._engine.clock
        if progress.stage == "waiting" and progress.state != "finished":
            clock.hold("device")
            if monotonic() < self._say_waiting_after:
                return
            self._say_waiting_after = monotonic() + WAITING_SECONDS
        else:
            clock.release("device")
            self._say_waiting_after = 0.0
        try:
            self._engine.record(ev.EvaluationProgressed(attempt=attempt, progress=progress))
        except NoSpace as error:
            log.error("progress not written: %s", error)
