"""The operator `seat`: an outside agent makes the steps, with the tools of the built-in agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.operators.seat.operator import SeatOperator


def make(settings: RunSettings) -> SeatOperator:
    from avo_tui.operators.seat.operator import SeatOperator

    return SeatOperator(settings)
