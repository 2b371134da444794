"""The descriptor of the operator `external`."""

from __future__ import annotations

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.descriptor import OperatorDescriptor
from avo_tui.operators.ports import Operator


def _make(settings: RunSettings) -> Operator:
    from avo_tui.operators.external import make

    return make(settings)


DESCRIPTOR = OperatorDescriptor(
    name="external",
    label="waits for candidates from outside: avo submit",
    make=_make,
    traits=OperatorTraits(title="outside agent", steps_by_itself=False, hints="text", ladder=()),
)
