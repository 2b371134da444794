"""What a step can evaluate: candidates, submissions to the gate, scratch programs, profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import Answer, ProfileQuestion, ProfileWanted, Question, Text
from avo_tui.domain.records import Note, Profile, Version
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.admission.gate import AcceptanceGate, Proposal
from avo_tui.evolution.lifecycle.idling import Idling
from avo_tui.evolution.lifecycle.waiting import Standstill
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.evolution.workbench.together import Batch
from avo_tui.operators.ports import AttemptResult, StepEnded, SubmitResult

PROFILE_LINES = 24
"""Number of lines of a profile that its record keeps; the full text is an object."""


class StepEvaluating:
    """Evaluates and submits candidates; implements `avo_tui.operators.ports.Evaluating`."""

    def __init__(
        self,
        run: Run,
        head: Version,
        evaluations: EvaluationRecorder,
        gate: AcceptanceGate,
        waits: Standstill,
        budget: BudgetWatch,
        idling: Idling,
    ) -> None:
        self._run = run
        self._head = head
        self._evaluations = evaluations
        self._gate = gate
        self._waits = waits
        self._budget = budget
        self._idling = idling

    def listening(self, sink: Callable[[EvaluationProgress], None]) -> AbstractContextManager[None]:
        return self._evaluations.listening(sink)

    async def evaluate(self, candidate: Candidate, title: str) -> AttemptResult:
        run = self._run
        self._raise_if_over()
        self._gate.foresee(candidate.id)
        while True:
            try:
                result = await self._evaluations.attempt(
                    candidate,
                    title=title,
                    parent=self._head.number,
                    cut=run.control.interrupts_step,
                )
                await self._idling.call(worked=not result.report.cached)
                return result
            except EvaluatorError as error:
                run.trouble("evaluator", str(error))
                await self._waits.pause_for(str(error))
                self._waits.raise_if_ended()

    @property
    def width(self) -> int:
        return self._run.evaluator.width

    async def evaluate_many(
        self,
        candidates: Iterable[tuple[Candidate, str]],
        *,
        sweep: bool = False,
        each: Callable[[AttemptResult], None] = lambda result: None,
    ) -> Sequence[AttemptResult]:
        run = self._run
        self._raise_if_over()
        batch = Batch(
            run,
            self._evaluations,
            self._budget,
            candidates,
            self._head.number,
            sweep=sweep,
            each=each,
        )
        while True:
            try:
                await batch.run()
                results = [batch.results[position] for position in sorted(batch.results)]
                await self._idling.call(worked=any(not r.report.cached for r in results))
                return results
            except EvaluatorError as error:
                run.trouble("evaluator", str(error))
                await self._waits.pause_for(str(error))
                self._raise_if_over()

    def _raise_if_over(self) -> None:
        """Raises StepEnded if the step is to end or a cap is reached."""
        self._waits.raise_if_ended()
        used_up = self._budget.used_up()
        if used_up is not None:
            self._budget.warn()
            raise StepEnded("nothing", used_up)

    async def submit(
        self,
        attempt: AttemptResult,
        plan: str,
        summary: str,
        built_on: Sequence[Note] = (),
        *,
        idea: str = "",
    ) -> SubmitResult:
        run = self._run
        self._waits.raise_if_ended()
        begun = run.evaluator_seconds
        result = await self._gate.submit(
            attempt,
            Proposal(self._head.number, plan, summary, run.author, run.model, built_on, idea=idea),
            cut=run.control.interrupts_step,
        )
        if result.version is None:  # else nothing may come between the commit and the step's end
            await self._idling.call(worked=run.evaluator_seconds > begun)
        return result

    async def ask(self, question: Question[Answer]) -> Answer:
        run = self._run
        self._waits.raise_if_ended()
        try:
            answer = await self._evaluations.ask(question, run.control.interrupts_step)
        except EvaluatorError as error:
            failed = question.unanswered(run.state.session.task.name, str(error))
            if failed is None:
                raise
            return failed
        if isinstance(question, ProfileQuestion) and isinstance(answer, Text):
            self._record_profile(Candidate(files=question.files), question.wanted, answer.text)
        if isinstance(answer, EvaluationReport) and answer.paired is not None:
            run.pairs_outside.append(answer.seconds.total)
        return answer

    def _record_profile(self, candidate: Candidate, wanted: ProfileWanted, text: str) -> None:
        if "\n" not in text:  # no figures: it says why there are none
            return
        run = self._run
        run.writer.put(candidate.canonical())
        run.record(
            ev.CandidateProfiled(
                profile=Profile(
                    id=f"{candidate.id}:{wanted.name}",
                    candidate=candidate.id,
                    configuration=wanted.configuration,
                    report=run.writer.put(text),
                    summary="\n".join(text.splitlines()[:PROFILE_LINES]),
                    step=run.state.session.step,
                    at=now(),
                )
            )
        )
