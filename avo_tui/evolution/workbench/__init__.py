"""What an operator of variation is handed for a step; implements `avo_tui.operators.ports`."""

from avo_tui.evolution.workbench.step import StepWorkbench

__all__ = ["StepWorkbench"]
