"""What a step can read beside the record: the machine, its load, and the budget up to now."""

from __future__ import annotations

from avo_tui.domain.base import ObjectId
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.device import busy_text
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.outlook import outlook
from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.workers import queue_text
from avo_tui.evaluation.locks import measuring_text
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.operators.reading import Reading


class StepReading(Reading):
    """Read access to the session for the operator of a step."""

    def __init__(
        self,
        run: Run,
        step: int,
        head: Version,
        evaluations: EvaluationRecorder,
        budget: BudgetWatch,
    ) -> None:
        super().__init__(run.writer, step, head)
        self._run = run
        self._evaluations = evaluations
        self._budget = budget

    @property
    def machine(self) -> MachineInfo | None:
        return self._run.machine

    def gate_outlook(self) -> str:
        known = outlook(self.state, self.conditions, tuple(self._run.pairs_outside))
        return known.text if known is not None else ""

    def busy(self) -> str:
        return "; ".join(filter(None, [busy_text(self._run.devices), measuring_text()]))

    def unaudited(self) -> str:
        return self._run.audit_waits

    def queue(self) -> str:
        queue = self._run.evaluator.queue()
        return queue_text(queue) if queue is not None else ""

    def find_attempt(self, candidate: ObjectId) -> Attempt | None:
        return self._evaluations.known(candidate)

    def remaining(self) -> tuple[Budget, Spend, Spend]:
        return self.state.session.budget, *self._budget.spend()
