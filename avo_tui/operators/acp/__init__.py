"""The operator `acp`: an agent that speaks the Agent Client Protocol, started in the seat."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avo_tui.domain.records import RunSettings
    from avo_tui.operators.acp.operator import AcpOperator


def make(settings: RunSettings) -> AcpOperator:
    """The operator of a session. Raises ValueError, one sentence, where it cannot be made."""
    try:
        from avo_tui.operators.acp.operator import AcpOperator
    except ImportError as error:
        raise ValueError("the operator acp needs: pip install 'avo-tui[acp]'") from error
    return AcpOperator(settings)
