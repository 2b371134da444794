"""What a score counts: operations, bytes or items per second, or the seconds themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from avo_tui.domain.score import SECONDS_IN

Quantity = Literal["flops", "bytes", "items", "seconds"]

_PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_RATE = re.compile(r"(?P<prefix>[kKMGTP]?)(?P<what>FLOP|OP|B|[A-Za-z][A-Za-z ]*)/s")


@dataclass(frozen=True)
class Work:
    """What one run does on one configuration."""

    flops: float = 0.0
    """Arithmetic operations; a fused multiply-add counts two."""
    bytes: float = 0.0
    """Bytes that must cross the memory at least once."""
    items: float = 0.0
    """Whatever the task counts: tokens, edges, matrices."""
    nominal: bool = False
    """True where this is what a reference does and a correct kernel may do less, as when the sum of
    a product is a product with sums. Such work bounds no time."""


@dataclass(frozen=True)
class Metric:
    """How seconds become the number that is shown."""

    unit: str
    """As shown, such as `TFLOP/s`, `GB/s`, `us` or `Mtoken/s`."""
    quantity: Quantity
    scale: float
    """Base units (operations, bytes, items per second; seconds) in one `unit`."""

    def value(self, work: Work, seconds: float) -> float:
        """The number in `unit` for one run of `work` that took `seconds`, which are positive."""
        if self.quantity == "seconds":
            return seconds / self.scale
        amount: float = getattr(work, self.quantity)
        return amount / seconds / self.scale


def metric_of(unit: str) -> Metric:
    """The metric that a unit stands for. Raises ValueError for one that it cannot be read from.

    `FLOP/s`, `OP/s` and `B/s` take a prefix (k, M, G, T, P); times are `s`, `ms`, `us`, `ns`; any
    other word before `/s` counts the task's own items, such as `Mtoken/s`.
    """
    if unit in SECONDS_IN:
        return Metric(unit, "seconds", SECONDS_IN[unit])
    match = _RATE.fullmatch(unit)
    if match is None:
        raise ValueError(
            f"the unit {unit!r} is not known: say FLOP/s, B/s or ITEM/s, with a prefix such as G, "
            "or a time such as ms"
        )
    quantities: dict[str, Quantity] = {"FLOP": "flops", "OP": "flops", "B": "bytes"}
    return Metric(unit, quantities.get(match["what"], "items"), _PREFIXES[match["prefix"]])
