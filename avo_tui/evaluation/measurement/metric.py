"""What a score counts: operations, bytes or items per second, or the seconds themselves; and the
upper limits of the hardware: a higher rate means that the work was not done.
"""

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


ABOVE_MEASURED = "above the measured ceiling"
"""Flag of a configuration that is faster than the best that was measured of the machine itself."""
MARGIN = 1.1
"""How far above the measured ceiling a rate may be before it is flagged: clocks vary."""


@dataclass(frozen=True)
class Ceilings:
    """Limits of one device. Zero stands for one that is not known."""

    peak_flops: float = 0.0
    """Operations per second that no program can exceed, in the fastest type the task may use."""
    peak_bytes: float = 0.0
    """Bytes per second to and from the memory that no program can exceed."""
    cache_bytes: float = 0.0
    """Bytes that may already be in caches and need not be read from memory."""
    measured_flops: float = 0.0
    """Operations per second that were measured on this machine without any candidate."""

    def least_seconds(self, work: Work) -> tuple[float, str]:
        """The shortest time that one run can take, and what limits it; zero for nominal work."""
        if work.nominal:
            return 0.0, "nothing that is known"
        arithmetic = work.flops / self.peak_flops if self.peak_flops else 0.0
        moved = max(0.0, work.bytes - self.cache_bytes)
        traffic = moved / self.peak_bytes if self.peak_bytes else 0.0
        if arithmetic >= traffic:
            return arithmetic, f"its peak of {self.peak_flops / 1e12:.3g} TFLOP/s"
        return traffic, f"its memory's {self.peak_bytes / 1e9:.4g} GB/s"

    def impossible(self, work: Work, seconds: float) -> str:
        """Why a run cannot have taken so short a time, as part of a sentence; empty if it can."""
        least, limit = self.least_seconds(work)
        if seconds >= least:
            return ""
        return (
            f"{seconds * 1e3:.4g} ms, which is less than the {least * 1e3:.4g} ms that the "
            f"hardware needs by {limit}"
        )

    def remark(self, work: Work, seconds: float) -> tuple[str, ...]:
        """Flags for a median time: faster than what was measured of the machine itself."""
        if self.measured_flops and work.flops / seconds > MARGIN * self.measured_flops:
            return (ABOVE_MEASURED,)
        return ()
