"""The operator `seat`: the agent that has the seat makes every step."""

from __future__ import annotations

from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.operators.seat.door import Door
from avo_tui.operators.seat.step import SeatStep, tool_specs


class SeatOperator:
    """Serves the calls of an outside agent; the socket stays open between steps."""

    author: Author = "seat"

    def __init__(self, settings: RunSettings) -> None:
        """Raises ValueError, with one sentence, for an option that the toolbox does not take."""
        self.door = Door(tool_specs(settings))

    async def vary(self, bench: Workbench) -> StepOutcome:
        """Make one step from the calls that arrive."""
        await self.door.open(bench.reading.folder)
        return await SeatStep(bench, self.door).run()

    async def close(self) -> None:
        """Disconnect the client, because the engine ends."""
        await self.door.close(
            "The run has ended: there is no other step. Whether it goes on is decided by the"
            " person; end your work here. avo status says why."
        )
