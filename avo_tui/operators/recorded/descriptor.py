"""The descriptor of the operator `recorded`."""

from __future__ import annotations

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.descriptor import OperatorDescriptor
from avo_tui.operators.ports import Operator


def _make(settings: RunSettings) -> Operator:
    from avo_tui.operators.recorded import make

    return make(settings)


DESCRIPTOR = OperatorDescriptor(
    name="recorded",
    label="plays a recorded conversation of an agent; scores are measured: avo run --recording",
    make=_make,
    traits=OperatorTraits(title="agent", recording=True),
    repositories=False,
    offered=False,
)
