"""Records what one answer costs, as far as it is known at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from avo_tui.domain.budget import Spend
from avo_tui.operators.agent.model.port import Model
from avo_tui.operators.agent.model.prices import believable


class Bill:
    """The cost of one answer. Its input is recorded as soon as the answer begins.

    An engine that is killed in the middle of an answer has to pay for it, but never sees its end.
    """

    def __init__(self, model: Model, record: Callable[[Spend], None]) -> None:
        self._model = model
        self._record = record
        self._counted = Spend()

    def begin(self, usage: Mapping[str, Any]) -> None:
        """Record the first usage of an answer, unless it cannot be true."""
        if believable(usage):
            self.settle(usage)

    def settle(self, usage: Mapping[str, Any], served: str = "") -> None:
        """Record what the usage so far adds to what was recorded before.

        `served` is the model that answered, where it is known.
        """
        total = self._model.spend(usage, served)
        if total != self._counted:
            self._record(total - self._counted)
            self._counted = total
