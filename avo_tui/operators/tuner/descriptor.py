"""The descriptor of the operator `tuner`."""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.descriptor import OperatorDescriptor, OptionInfo
from avo_tui.operators.ports import Operator


def _make(settings: RunSettings) -> Operator:
    from avo_tui.operators.tuner import make

    return make(settings)


def _options() -> Sequence[OptionInfo]:
    from avo_tui.operators.tuner.settings import TunerSettings

    return TunerSettings.listed()


def _check(settings: RunSettings) -> None:
    from avo_tui.operators.tuner.settings import TunerSettings

    TunerSettings.of(settings)


DESCRIPTOR = OperatorDescriptor(
    name="tuner",
    label=(
        "classical search over the constants the kernel declares: needs no key, spends no money"
    ),
    make=_make,
    traits=OperatorTraits(
        title="tuner",
        hints="tunables",
        ladder=("nudge", "restart"),
        stall_attempts=16,  # its attempts are cheap, and one of its steps has eight of them
    ),
    repositories=False,
    preference=10,
    options=_options,
    check=_check,
)
