"""The descriptor of the operator `acp`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.descriptor import OperatorDescriptor, OptionInfo
from avo_tui.operators.ports import Operator


def _make(settings: RunSettings) -> Operator:
    from avo_tui.operators.acp import make

    return make(settings)


def _missing() -> str | None:
    """Why no agent can be started on this machine; None if one can."""
    if find_spec("acp") is None:
        return "the operator acp needs: pip install 'avo-tui[acp]'"
    if find_spec("mcp") is None:
        return "the operator acp gives the agent its tools over MCP: pip install 'avo-tui[mcp]'"
    return None


def _unavailable() -> str | None:
    return _missing() or "name the agent to start: avo run TASK --agent 'COMMAND'"


def _accepts(settings: RunSettings) -> str | None:
    from avo_tui.operators.acp.settings import AcpSettings

    try:
        program = AcpSettings.of(settings).command()[0]
    except ValueError as error:
        return str(error)
    if shutil.which(program) is None:
        return f"the agent's program {program!r} is not installed, or not in PATH"
    return _missing()


def _check(settings: RunSettings) -> None:
    from avo_tui.operators.acp.settings import AcpSettings
    from avo_tui.operators.toolbox.switched_off import ToolboxSettings

    AcpSettings.of(settings).command()
    ToolboxSettings.of(settings)


def _options() -> Sequence[OptionInfo]:
    from avo_tui.operators.acp.settings import AcpSettings
    from avo_tui.operators.toolbox.switched_off import ToolboxSettings

    return (*AcpSettings.listed(), *ToolboxSettings.listed())


DESCRIPTOR = OperatorDescriptor(
    name="acp",
    label="starts a coding agent that speaks the Agent Client Protocol: --agent 'opencode acp'",
    make=_make,
    unavailable=_unavailable,
    accepts=_accepts,
    traits=OperatorTraits(title="agent in the seat"),
    options=_options,
    check=_check,
)
