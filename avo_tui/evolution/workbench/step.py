"""The workbench of one step, put together from its four faces."""

from __future__ import annotations

from avo_tui.domain.records import Version
from avo_tui.evolution.ports import Budgeting, Evaluations, Gate, Supervising, Waiting
from avo_tui.evolution.run import Run
from avo_tui.evolution.workbench.control import StepControl
from avo_tui.evolution.workbench.evaluating import StepEvaluating
from avo_tui.evolution.workbench.reading import StepReading
from avo_tui.evolution.workbench.recording import StepRecording
from avo_tui.operators.ports import Knowledge


class StepWorkbench:
    """One step's workbench over the run."""

    def __init__(
        self,
        run: Run,
        step: int,
        head: Version,
        *,
        knowledge: Knowledge,
        evaluations: Evaluations,
        gate: Gate,
        waits: Waiting,
        budget: Budgeting,
        supervisor: Supervising,
    ) -> None:
        self.knowledge = knowledge
        self.reading = StepReading(run, step, head, evaluations, budget)
        self.recording = StepRecording(run, step)
        self.control = StepControl(run, step, waits, budget, supervisor)
        self.evaluating = StepEvaluating(run, head, evaluations, gate, waits, budget)
