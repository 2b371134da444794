"""The commands of the person, one line each."""

from __future__ import annotations

from avo_tui.domain.commands import Command
from avo_tui.evolution.commands import (
    annotation,
    approval,
    budget,
    going_on,
    hint,
    intervention,
    memory,
    remeasure,
    rewind,
    set_options,
    submit,
)
from avo_tui.evolution.commands.base import AnySpec

SPECS: tuple[AnySpec, ...] = (
    going_on.PAUSE,
    going_on.RESUME,
    going_on.STOP,
    going_on.ABORT,
    rewind.SPEC,
    approval.APPROVE,
    approval.REJECT,
    budget.SPEC,
    set_options.SPEC,
    hint.SEND,
    hint.CLEAR,
    annotation.BOOKMARK,
    annotation.NOTE,
    submit.SPEC,
    remeasure.SPEC,
    memory.SPEC,
    intervention.SUPERVISE,
    intervention.EDIT,
)

_BY_KIND = {spec.kind: spec for spec in SPECS}


def spec_of(command: Command) -> AnySpec:
    """The specification of how a command is carried out."""
    return _BY_KIND[type(command)]
