"""The descriptor of the operator `seat`."""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.descriptor import OperatorDescriptor, OptionInfo
from avo_tui.operators.ports import Operator


def _make(settings: RunSettings) -> Operator:
    from avo_tui.operators.seat import make

    return make(settings)


def _options() -> Sequence[OptionInfo]:
    from avo_tui.operators.toolbox.switched_off import ToolboxSettings

    return ToolboxSettings.listed()


def _check(settings: RunSettings) -> None:
    from avo_tui.operators.toolbox.switched_off import ToolboxSettings

    ToolboxSettings.of(settings)


DESCRIPTOR = OperatorDescriptor(
    name="seat",
    label="an agent of your own makes the steps: avo mcp NAME, or avo seat NAME",
    make=_make,
    traits=OperatorTraits(title="agent in the seat"),
    options=_options,
    check=_check,
)
