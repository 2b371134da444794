"""What a step left uncommitted, for the next step to go on from."""

from __future__ import annotations

from avo_tui.domain.base import ObjectId, Value

CARRIED = "Went on from the draft"
"""Beginning of the title of the edit by which a step takes over the previous step's draft."""


class Draft(Value):
    """A candidate that a step left uncommitted."""

    candidate: ObjectId
    step: int
    """Number of the step that left the draft."""
    carried: int = 0
    """How many steps in a row, up to that one, went on from the draft of the one before."""
