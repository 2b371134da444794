"""The interface of a step for variation operators; implements `avo_tui.operators.ports`."""

from avo_tui.evolution.workbench.step import Parts, StepWorkbench

__all__ = ["Parts", "StepWorkbench"]
