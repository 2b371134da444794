"""The operator `external`: a person or an agent outside hands candidates in.

It makes no steps of its own. Each submission becomes a step, with the same gate and records.
"""

from __future__ import annotations

from avo_tui.domain.records import Author, RunSettings
from avo_tui.operators.ports import StepOutcome, Workbench


class External:
    """Waits for submissions; the engine makes a step of each."""

    author: Author = "external"

    async def vary(self, bench: Workbench) -> StepOutcome:
        """Nothing to do: a step that was left open by a submission ends here."""
        return StepOutcome(outcome="nothing", reason="candidates come from outside")


def make(settings: RunSettings) -> External:
    """The operator for a session."""
    return External()
