"""The operator `seat`: every step is made by whoever sits there."""

from __future__ import annotations

from avo_tui.domain.records import Author
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.operators.seat.door import Door
from avo_tui.operators.seat.step import SeatStep, tool_specs


class SeatOperator:
    """Waits at its door for the calls of an agent outside; keeps the door open between steps."""

    author: Author = "seat"

    def __init__(self) -> None:
        self.door = Door(tool_specs())

    async def vary(self, bench: Workbench) -> StepOutcome:
        """One step, made of the calls that come in."""
        await self.door.open(bench.reading.folder)
        return await SeatStep(bench, self.door).run()

    async def close(self) -> None:
        """Send the client away: the engine ends."""
        await self.door.close(
            "The run has ended: there is no other step. Whether it goes on is decided by the"
            " person; end your work here. avo status says why."
        )
