"""A quick comparison of two candidates: many short calls in turn, both in one process.

It shows in seconds what pairs of fresh processes need minutes for, because most of what scatters is
the same for both. It is not what a gate measures: there every call gets new inputs in new memory,
each candidate has a process of its own, and outputs are judged.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.device import DeviceHealth
from avo_tui.domain.evidence import Estimate
from avo_tui.domain.plain import Safe

Caches = Literal["warm", "cold"]
"""`warm`: each call gets the same inputs, and caches hold what fits into them. `cold`: inputs and
outputs are flushed from all caches before each call."""

QUICK_SECONDS = 6.0
"""Seconds of calls that a quick comparison takes unless told otherwise."""

MOST_SECONDS = 120.0
"""Seconds after which no further variant is begun, waiting for the device included, unless told
otherwise."""

CACHES: tuple[Caches, ...] = ("warm", "cold")


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Alternation(Value):
    """Calls of two candidates in turn on one configuration."""

    speeds: tuple[Positive, ...] = Field(min_length=2)
    """Speed over the other candidate, one figure a process: the median over its rounds."""
    milliseconds: Positive
    """Median time of a call of the other candidate, in the mean over the processes."""


class QuickComparison(Value):
    """What a quick comparison showed, or why there is none."""

    trouble: Safe = ""
    """Why it was not made, in one sentence; empty if it was."""
    warm: dict[str, Alternation] = Field(default_factory=dict)
    """By configuration."""
    cold: dict[str, Alternation] = Field(default_factory=dict)
    calls: int = 0
    """Timed calls of both candidates together."""
    seconds: float = 0.0
    """What it took, without compilation and without waiting for the device."""
    waited: float = 0.0
    """Seconds that it waited for the device before."""
    remarks: tuple[Safe, ...] = ()
    """What else was noticed, such as outputs that differ."""
    health: DeviceHealth | None = None

    def of(self, caches: Caches) -> dict[str, Alternation]:
        """The calls with warm or with cold caches, by configuration."""
        return self.warm if caches == "warm" else self.cold

    def estimate(self, caches: Caches, configuration: str = "") -> Estimate:
        """The log gain on one configuration, or in the mean over all of them.

        Its error is that between processes, so it counts what differs between them, such as where
        code and data lie in memory. Raises KeyError where nothing was measured.
        """
        measured = self.of(caches)
        names = [configuration] if configuration else list(measured)
        if not names:
            raise KeyError(caches)
        columns = [[math.log(speed) for speed in measured[name].speeds] for name in names]
        gains = [math.fsum(row) / len(row) for row in zip(*columns, strict=False)]
        count = len(gains)
        mean = math.fsum(gains) / count
        variance = math.fsum((gain - mean) ** 2 for gain in gains) / (count - 1)
        return Estimate(mean, math.sqrt(variance / count), count - 1, count)
