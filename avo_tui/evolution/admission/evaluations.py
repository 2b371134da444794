"""Runs evaluations and records them: attempts, progress, repeated candidates and interruptions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import Answer, EvaluateQuestion, Question
from avo_tui.domain.records import Attempt
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution import steps
from avo_tui.evolution.control import Cut
from avo_tui.evolution.run import Run
from avo_tui.operators.ports import AttemptResult, Interrupted

WAIT_NOTED_SECONDS = 15.0
"""Least seconds between two progress events of an attempt that waits for the device."""
TITLE_CHARACTERS = 200
HARNESS_ERRORS = 3
"""Number of consecutive failures of the harness after which the run pauses."""


class EvaluationRecorder:
    """Calls the evaluator for the engine and records the results."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[str, tuple[int, int]] = {}
        self._indexed = False
        self._harness_errors = 0
        self._asked = 0
        """Number of requests to the evaluator that are not answered yet."""
        self._sinks: list[Callable[[EvaluationProgress], None]] = []
        self._waiting: dict[int, float] = {}
        """Attempt that waits for a device → monotonic time before which no further progress is
        recorded."""

    def known(self, identity: str) -> Attempt | None:
        """The first attempt with this candidate that received a verdict, where it is no time-out
        that a later one has overtaken; None if there is none."""
        attempts = self._run.state.attempts
        if not self._indexed:
            for attempt in attempts.values():
                self._remember(attempt)
            self._indexed = True
        key = self._known.get(identity)
        return attempts[key] if key is not None else None

    def _remember(self, attempt: Attempt) -> None:
        if attempt.verdict is None or not attempt.verdict.judges_candidate or attempt.cached:
            return
        held = self._known.get(attempt.candidate)
        if held is None or self._run.state.attempts[held].verdict is Verdict.TIMEOUT:
            self._known[attempt.candidate] = (attempt.step, attempt.number)

    def _answer_from_record(self, identity: str) -> EvaluationReport | None:
        attempt = self.known(identity)
        report = self._run.report(attempt) if attempt is not None else None
        machine = self._run.machine
        if report is None or machine is None or report.conditions != machine.conditions:
            return None
        if report.verdict is Verdict.TIMEOUT:
            return None  # the machine may have caused this verdict, so it is worth evaluating again
        return report.model_copy(update={"cached": True})

    async def attempt(
        self, candidate: Candidate, *, title: str, parent: int, cut: Cut, fresh: bool = False,
        sweep: int = 0,
    ) -> AttemptResult:  # fmt: skip
        """Evaluate a candidate completely, as the next attempt of the open step.

        `sweep` is the number of the first attempt of the sweep that it is part of; 0 if of none. If
        the candidate was judged before under the same conditions, the recorded result is
        returned unless `fresh` is set. Raises Interrupted (the attempt is then recorded as
        cancelled) and EvaluatorError.
        """
        run = self._run
        step = run.state.session.step
        number = run.next_attempt(step)
        run.writer.put(candidate.canonical())
        attempt = Attempt(
            step=step,
            number=number,
            parent=parent,
            candidate=candidate.id,
            title=title[:TITLE_CHARACTERS],
            sweep=sweep or self._given_with(step),
            at=now(),
        )
        run.record(ev.AttemptStarted(attempt=attempt))
        report = None if fresh else self._answer_from_record(candidate.id)
        if report is None:
            report = await self._evaluate(attempt, candidate, cut)
        self._finish(step, number, report)
        self._watch_harness(report)
        return AttemptResult(step=step, number=number, candidate=candidate.id, report=report)

    def _given_with(self, step: int) -> int:
        """The first of the attempts that wait for a device beside a new one, none of them answered
        yet, so that nothing could be learned from them; 0 where none does."""
        first = 0
        if self._run.evaluator.queue() is not None:
            for attempt in reversed(self._run.state.attempts.values()):
                if attempt.step != step or attempt.verdict is not None:
                    break
                first = attempt.number
        return first

    async def _evaluate(self, attempt: Attempt, candidate: Candidate, cut: Cut) -> EvaluationReport:
        try:
            question = EvaluateQuestion(files=candidate.files)
            return await self.ask(question, cut, attempt.number)
        except (Interrupted, asyncio.CancelledError) as error:
            reason = error.reason if isinstance(error, Interrupted) else str(error)
            report = self._run.cancelled(candidate.id, reason or "the step has ended")
            self._finish(attempt.step, attempt.number, report)
            raise
        except EvaluatorError as error:
            report = self._run.cancelled(candidate.id, str(error), harness_failed=True)
            self._finish(attempt.step, attempt.number, report)
            raise

    async def ask(
        self,
        question: Question[Answer],
        cut: Cut,
        attempt: int = 0,
        pair: str = "",
    ) -> Answer:
        """Ask the evaluator; while it waits for the device, running time does not count.

        Nothing of the answer is recorded. `attempt`: the one whose progress it is, 0 for what is no
        attempt; `pair`: which pair of it, such as `3 of 4`. Raises Interrupted and EvaluatorError.
        """
        run = self._run
        self._asked += 1
        begun = monotonic()
        try:
            work = run.evaluator.ask(
                run.state.session.task.name,
                question,
                lambda progress: self._note_progress(attempt, progress, pair),
            )
            answer = await run.control.race(work, cut)
        finally:
            self._asked -= 1
            run.evaluator_seconds += monotonic() - begun
            self._waiting.pop(attempt, None)
            self._hold_clock()
        if isinstance(answer, EvaluationReport) and not answer.conditions:
            return answer.model_copy(update={"conditions": run.conditions})
        return answer

    def _hold_clock(self) -> None:
        """Stop the clock of running time while all open requests wait for a device."""
        waits = self._asked > 0 and len(self._waiting) >= self._asked
        (self._run.clock.hold if waits else self._run.clock.release)("device")

    def _finish(self, step: int, number: int, report: EvaluationReport) -> None:
        """Record the result of an attempt."""
        run = self._run
        run.record(*steps.attempt_finished(step, number, report))
        self._remember(run.state.attempts[step, number])

    def _watch_harness(self, report: EvaluationReport) -> None:
        """Pause the run after repeated failures of the harness, such as a missing device.

        The pause takes effect at the next boundary.
        """
        run, summary = self._run, report.feedback.summary
        if report.verdict is Verdict.NO_DEVICE and run.state.versions:
            run.trouble("evaluation", summary)
            run.control.ask_pause(summary)
            return
        if report.verdict is not Verdict.HARNESS_ERROR:
            self._harness_errors = 0
            return
        self._harness_errors += 1
        run.trouble("evaluation", summary, report.feedback.log)
        if self._harness_errors >= HARNESS_ERRORS:
            self._harness_errors = 0
            run.control.ask_pause(f"the harness failed {HARNESS_ERRORS} times in a row: {summary}")

    @contextmanager
    def listening(self, sink: Callable[[EvaluationProgress], None]) -> Iterator[None]:
        """While entered, `sink` is told the progress of all evaluations."""
        self._sinks.append(sink)
        try:
            yield
        finally:
            self._sinks.remove(sink)

    def _note_progress(self, attempt: int, progress: EvaluationProgress, pair: str) -> None:
        """Show progress on the screen, and update the clock of running time."""
        if pair:
            progress = progress.replaced(pair=pair)
        for sink in self._sinks:
            sink(progress)
        if progress.stage == "waiting" and progress.state != "finished":
            noted_until = self._waiting.get(attempt, 0.0)
            known = monotonic() < noted_until
            self._waiting[attempt] = noted_until if known else monotonic() + WAIT_NOTED_SECONDS
            self._hold_clock()
            if known:
                return
        else:
            self._waiting.pop(attempt, None)
            self._hold_clock()
        self._run.show(ev.EvaluationProgressed(attempt=attempt, progress=progress))
