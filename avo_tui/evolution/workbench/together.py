"""Evaluates many candidates in parallel, as many as the evaluator has devices."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.operators.ports import AttemptResult, Interrupted

Draft = tuple[int, Candidate, str]
"""(index among the results, candidate, title)."""


class Batch:
    """Candidates evaluated in parallel; each is taken from the source when a device is free.

    Results are recorded in the order in which they arrive. The source may use them to propose the
    next candidate, so that a reader of the journal sees the order in which they were used.
    """

    def __init__(
        self,
        run: Run,
        evaluations: EvaluationRecorder,
        budget: BudgetWatch,
        candidates: Iterable[tuple[Candidate, str]],
        parent: int,
        *,
        sweep: bool = False,
        each: Callable[[AttemptResult], None] = lambda result: None,
    ) -> None:
        """`sweep`: the candidates are variants of one idea, and recorded as such. `each` is given
        every result as soon as it is there."""
        self._each = each
        self._run = run
        self._sweep = run.next_attempt(run.state.session.step) if sweep else 0
        self._evaluations = evaluations
        self._budget = budget
        self._parent = parent
        self._source: Iterator[tuple[Candidate, str]] = iter(candidates)
        self._next = 0
        self._again: deque[Draft] = deque()
        """Candidates to repeat, because the evaluator failed on them."""
        self._running: dict[asyncio.Task[AttemptResult], Draft] = {}
        self.results: dict[int, AttemptResult] = {}
        """Index → result, for the candidates evaluated so far."""

    async def run(self) -> None:
        """Evaluate until the source ends, or the person, the budget or an evaluator error stops it.

        Raises Interrupted and EvaluatorError; calling it again continues with the remaining
        candidates.
        """
        trouble: EvaluatorError | Interrupted | None = None
        try:
            while True:
                while trouble is None and self._may_begin():
                    draft = self._draft()
                    if draft is None:
                        break
                    self._running[asyncio.create_task(self._evaluate(draft))] = draft
                if not self._running:
                    break
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda ended: self._running[ended][0]):
                    trouble = self._take(task) or trouble
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            self._running.clear()
        if trouble is not None:
            raise trouble

    def _take(self, task: asyncio.Task[AttemptResult]) -> EvaluatorError | Interrupted | None:
        draft = self._running.pop(task)
        try:
            self.results[draft[0]] = task.result()
            self._each(task.result())
        except Interrupted as interrupted:
            return interrupted
        except EvaluatorError as error:
            self._again.append(draft)
            return error
        return None

    def _may_begin(self) -> bool:
        """Whether a device is free and nothing requires the operator's attention first."""
        run, control = self._run, self._run.control
        if len(self._running) >= run.evaluator.width:
            return False
        if not self._running and not self.results:
            return True  # the caller has just checked these conditions
        if control.pause is not None or control.interrupts_step() is not None:
            return False
        if any(hint.state == "queued" for hint in run.state.hints.values()):
            return False
        return self._budget.used_up() is None and not self._will_use_up()

    def _will_use_up(self) -> bool:
        """Whether the running evaluations will reach a cap on evaluations."""
        budget, spend = self._run.state.session.budget, self._budget.spend()
        return any(
            caps.evaluations is not None and used.evaluations + len(self._running)
            >= caps.evaluations
            for caps, used in zip((budget.run, budget.step), spend, strict=True)
        )  # fmt: skip

    def _draft(self) -> Draft | None:
        if self._again:
            return self._again.popleft()
        proposed = next(self._source, None)
        if proposed is None:
            return None
        self._next += 1
        return (self._next - 1, *proposed)

    async def _evaluate(self, draft: Draft) -> AttemptResult:
        _, candidate, title = draft
        twins = [t for t, (_, c, _) in self._running.items() if c.id == candidate.id]
        if twins := [twin for twin in twins if twin is not asyncio.current_task()]:
            await asyncio.wait(twins)  # then the attempt is answered from the recorded result
        return await self._evaluations.attempt(
            candidate,
            title=title,
            parent=self._parent,
            sweep=self._sweep,
            cut=self._run.control.interrupts_step,
        )
