"""The variation operator `agent`. `make` is imported on use: the SDK takes seconds to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui.operators.agent.settings import DEFAULT_MODEL, AgentSettings

if TYPE_CHECKING:
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.operators.agent.operator import AgentOperator

__all__ = ["DEFAULT_MODEL", "AgentSettings", "make"]


def make(settings: RunSettings) -> AgentOperator:
    """The operator of a session. Raises ValueError with one sentence, such as for a missing key."""
    from avo_tui.operators.agent.operator import make as build

    return build(settings)
