"""The registry of variation operators: those of this package and installed plug-ins."""

from __future__ import annotations

from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.descriptor import OperatorDescriptor
from avo_tui.operators.ports import Operator
from avo_tui.plugins import PluginError, Registry

OPERATORS = Registry(
    "avo_tui.operators",
    "operator",
    OperatorDescriptor,
    lambda operator: operator.name,
    {
        "agent": "avo_tui.operators.agent.descriptor",
        "tuner": "avo_tui.operators.tuner.descriptor",
        "seat": "avo_tui.operators.seat.descriptor",
        "external": "avo_tui.operators.external.descriptor",
        "recorded": "avo_tui.operators.recorded.descriptor",
    },
)
descriptor, names, broken = OPERATORS.get, OPERATORS.names, OPERATORS.broken


def offer() -> list[OperatorDescriptor]:
    """Operators that a person may choose, by descending priority; broken ones are left out."""
    descriptors = []
    for name in names():
        try:
            descriptors.append(descriptor(name))
        except PluginError:
            continue  # `avo doctor` reports it
    offered = [d for d in descriptors if d.offered]
    return sorted(offered, key=lambda d: -d.preference)


def default() -> OperatorDescriptor:
    """The operator for a session that names none: the available one with the highest priority."""
    offered = offer()
    return next((d for d in offered if d.unavailable() is None), offered[0])


def make_operator(settings: RunSettings) -> Operator:
    """Create the operator of a session; only its own module is imported.

    Raises ValueError, with one sentence, if it does not exist or cannot be created.
    """
    return descriptor(settings.operator).make(settings)
