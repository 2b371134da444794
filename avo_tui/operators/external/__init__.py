"""The operator `external`: a person or an outside agent submits candidates.

It makes no steps of its own. Each submission becomes a step, with the same gate and records.
"""

from __future__ import annotations

from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.ports import StepOutcome, Workbench


class External:
    """Waits for submissions; the engine turns each one into a step."""

    author: Author = "external"

    async def vary(self, bench: Workbench) -> StepOutcome:
        """End the step that a submission left open; there is nothing else to do."""
        return StepOutcome(outcome="nothing", reason="candidates come from outside")


def make(settings: RunSettings) -> External:
    return External()
