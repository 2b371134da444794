"""The operator `acp`: starts an agent that speaks the Agent Client Protocol and gives it the
seat."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.operators.acp.operator import AcpOperator


def make(settings: RunSettings) -> AcpOperator:
    """The operator for a session. Raises ValueError, with one sentence, if it cannot be created."""
    try:
        from avo_tui.operators.acp.operator import AcpOperator
    except ImportError as error:
        raise ValueError("the operator acp needs: pip install 'avo-tui[acp]'") from error
    return AcpOperator(settings)
