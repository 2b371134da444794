"""Which operator of variation a session asks for. Imports only the one that is used."""

from __future__ import annotations

from importlib import import_module

from avo_tui.domain.records import OperatorName, RunSettings
from avo_tui.operators.ports import Operator

FACTORIES: dict[OperatorName, str] = {
    "tuner": "avo_tui.operators.tuner",
    "external": "avo_tui.operators.external",
    "agent": "avo_tui.operators.agent",
    "recorded": "avo_tui.operators.recorded",
}


def make_operator(settings: RunSettings) -> Operator:
    """The operator of a session: `make(settings)` of its package.

    Raises ValueError with one sentence where it cannot be made, such as a missing key.
    """
    module = import_module(FACTORIES[settings.operator])
    operator: Operator = module.make(settings)
    return operator
