"""The operator `recorded`: replays a recorded conversation with real evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.operators.recorded.player import RecordedOperator

__all__ = ["make"]


def make(settings: RunSettings) -> RecordedOperator:
    """The operator of a session. Raises ValueError with one sentence for a bad recording."""
    from avo_tui.operators.recorded.player import make as build

    return build(settings)
