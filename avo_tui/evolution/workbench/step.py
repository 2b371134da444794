"""The workbench of one step, composed of reading, evaluating, recording and control."""

from __future__ import annotations

from dataclasses import dataclass

from avo_tui.domain.records import Version
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.admission.gate import AcceptanceGate
from avo_tui.evolution.lifecycle.idling import Idling
from avo_tui.evolution.lifecycle.waiting import Standstill
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.evolution.watch.supervisor import Supervisor
from avo_tui.evolution.workbench.control import StepControl
from avo_tui.evolution.workbench.evaluating import StepEvaluating
from avo_tui.evolution.workbench.reading import StepReading
from avo_tui.evolution.workbench.recording import StepRecording
from avo_tui.operators.knowledge_port import Knowledge


@dataclass(frozen=True)
class Parts:
    """The parts of one engine that a workbench uses."""

    evaluations: EvaluationRecorder
    gate: AcceptanceGate
    waits: Standstill
    budget: BudgetWatch
    supervisor: Supervisor
    idling: Idling


class StepWorkbench:
    """One step's workbench over the run."""

    def __init__(
        self, run: Run, parts: Parts, step: int, head: Version, knowledge: Knowledge
    ) -> None:
        self.knowledge = knowledge
        self.reading = StepReading(run, step, head, parts.evaluations, parts.budget)
        self.recording = StepRecording(run, step)
        self.control = StepControl(run, step, parts.waits, parts.budget, parts.supervisor)
        self.evaluating = StepEvaluating(
            run, head, parts.evaluations, parts.gate, parts.waits, parts.budget, parts.idling
        )
