"""The workbench of one step, composed of reading, evaluating, recording and control."""

from __future__ import annotations

from avo_tui.domain.records import Version
from avo_tui.evolution.ports import Parts
from avo_tui.evolution.run import Run
from avo_tui.evolution.workbench.control import StepControl
from avo_tui.evolution.workbench.evaluating import StepEvaluating
from avo_tui.evolution.workbench.reading import StepReading
from avo_tui.evolution.workbench.recording import StepRecording
from avo_tui.operators.knowledge_port import Knowledge


class StepWorkbench:
    """One step's workbench over the run."""

    def __init__(
        self, run: Run, parts: Parts, step: int, head: Version, knowledge: Knowledge
    ) -> None:
        self.knowledge = knowledge
        self.reading = StepReading(run, parts, step, head)
        self.recording = StepRecording(run, step)
        self.control = StepControl(run, parts, step)
        self.evaluating = StepEvaluating(run, parts, head)
