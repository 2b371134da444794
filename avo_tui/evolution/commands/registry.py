"""The commands of the person, one line each."""

from __future__ import annotations

from avo_tui.domain.commands import Command
from avo_tui.evolution.commands import (
    abort,
    annotation,
    approval,
    budget,
    hint,
    intervention,
    memory,
    pause,
    remeasure,
    resume,
    rewind,
    set_options,
    stop,
    submit,
)
from avo_tui.evolution.commands.base import AnySpec

SPECS: tuple[AnySpec, ...] = (
    pause.SPEC,
    resume.SPEC,
    stop.SPEC,
    abort.SPEC,
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
