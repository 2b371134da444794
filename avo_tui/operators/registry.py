"""The registry of variation operators: those of this package and installed plug-ins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module, metadata

from avo_tui.domain.run_settings import OperatorName, RunSettings
from avo_tui.operators.descriptor import GROUP, OperatorDescriptor
from avo_tui.operators.ports import Operator

BUILT_IN: Mapping[OperatorName, str] = {
    "agent": "avo_tui.operators.agent.descriptor",
    "tuner": "avo_tui.operators.tuner.descriptor",
    "seat": "avo_tui.operators.seat.descriptor",
    "acp": "avo_tui.operators.acp.descriptor",
    "external": "avo_tui.operators.external.descriptor",
    "recorded": "avo_tui.operators.recorded.descriptor",
}
"""Operator name → module that contains its `DESCRIPTOR`."""


class UnknownOperator(ValueError):  # noqa: N818 - its text is the sentence
    """The operator does not exist or cannot be loaded; the message is one sentence."""


@lru_cache(maxsize=1)
def _installed() -> dict[str, metadata.EntryPoint]:
    entries = metadata.entry_points(group=GROUP)
    return {entry.name: entry for entry in entries if entry.name not in BUILT_IN}


def names() -> list[OperatorName]:
    """Names of all operators, those of this package first."""
    return [*BUILT_IN, *sorted(_installed())]


def descriptor(name: OperatorName) -> OperatorDescriptor:
    """The descriptor of an operator. Raises UnknownOperator."""
    if name in BUILT_IN:
        built_in: OperatorDescriptor = import_module(BUILT_IN[name]).DESCRIPTOR
        return built_in
    entry = _installed().get(name)
    if entry is None:
        offered = ", ".join(d.name for d in offer())
        raise UnknownOperator(f"there is no operator {name!r}; there are {offered}")
    try:
        loaded = entry.load()
    except Exception as error:  # importing a plug-in may raise anything
        why = f"{type(error).__name__}: {error}"
        raise UnknownOperator(f"operator {name} ({entry.value}) does not load: {why}") from error
    if not isinstance(loaded, OperatorDescriptor) or loaded.name != name:
        raise UnknownOperator(
            f"operator {name}: {entry.value} is not an OperatorDescriptor of that name"
        )
    return loaded


def offer() -> list[OperatorDescriptor]:
    """Operators that a person may choose, by descending priority; broken ones are left out."""
    descriptors = []
    for name in names():
        try:
            descriptors.append(descriptor(name))
        except UnknownOperator:
            continue  # `avo doctor` reports it
    offered = [d for d in descriptors if d.offered]
    return sorted(offered, key=lambda d: -d.preference)


def broken() -> list[str]:
    """Why installed operators cannot be loaded, one sentence each."""
    sentences = []
    for name in _installed():
        try:
            descriptor(name)
        except UnknownOperator as error:
            sentences.append(str(error))
    return sentences


def default() -> OperatorDescriptor:
    """The operator for a session that names none: the available one with the highest priority."""
    offered = offer()
    return next((d for d in offered if d.unavailable() is None), offered[0])


def make_operator(settings: RunSettings) -> Operator:
    """Create the operator of a session; only its own module is imported.

    Raises ValueError, with one sentence, if it does not exist or cannot be created.
    """
    return descriptor(settings.operator).make(settings)
