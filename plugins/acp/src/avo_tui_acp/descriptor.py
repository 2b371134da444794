"""The descriptor of the operator `acp`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.descriptor import OperatorDescriptor, OptionInfo
from avo_tui.operators.ports import Operator


def _make(settings: RunSettings) -> Operator:
    from avo_tui_acp.operator import AcpOperator

    return AcpOperator(settings)


def _unavailable() -> str:
    return "name the agent to start: avo run TASK --agent 'COMMAND'"


def _accepts(settings: RunSettings) -> str | None:
    from avo_tui_acp.settings import AcpSettings

    try:
        program = AcpSettings.of(settings).command()[0]
    except ValueError as error:
        return str(error)
    if shutil.which(program) is None:
        return f"the agent's program {program!r} is not installed, or not in PATH"
    return None


def _check(settings: RunSettings) -> None:
    from avo_tui.operators.toolbox.switched_off import ToolboxSettings
    from avo_tui_acp.settings import AcpSettings

    AcpSettings.of(settings).command()
    ToolboxSettings.of(settings)


def _options() -> Sequence[OptionInfo]:
    from avo_tui.operators.toolbox.switched_off import ToolboxSettings
    from avo_tui_acp.settings import AcpSettings

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
