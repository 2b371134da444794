"""How much faster a version is than an earlier one, and how that is known.

Screens, commands, notifications and exports that show a change use this rule, so that they agree
with each other and with the gate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from avo_tui.domain.records import Version
from avo_tui.domain.score import ConfigurationScore, Score

ABOUT = "≈"
"""Stands before a change that compares separate runs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much faster one of two separate runs is than the other."""

    gain: float
    """Relative change: 0.009 is 0.9% faster."""
    noise: float
    """Relative half-width of the spread of both runs together."""

    @property
    def clear(self) -> bool:
        """Whether the change is larger than the noise."""
        return abs(self.gain) > self.noise


def difference(
    new: Score | ConfigurationScore | None, old: Score | ConfigurationScore | None
) -> Difference | None:
    """The difference between the ratios of two runs, or of one configuration in two runs.

    None where one was not measured, or the old ratio is zero.
    """
    if new is None or old is None or (before := _ratio(old)) <= 0:
        return None
    return Difference(_ratio(new) / before - 1, math.hypot(new.noise, old.noise))


def _ratio(score: Score | ConfigurationScore) -> float:
    return score.aggregate if isinstance(score, Score) else score.ratio


@dataclass(frozen=True, slots=True)
class Change:
    """How much faster a version is than an earlier one."""

    gain: float
    """Relative change of the aggregate: 0.009 is 0.9% faster, -0.028 is 2.8% slower."""
    over: int
    """Number of the version it is compared with."""
    timed: bool
    """True if the gate timed the two alternately. False if the gain is the ratio of aggregates of
    two separate runs, which also differ by what the machine did at the time."""
    noise: float = 0.0
    """Relative half-width of the spread of the two runs; 0.0 if `timed`."""

    @property
    def clear(self) -> bool:
        """Whether the change says which version is faster. What the gate timed does: it committed
        the version because of it."""
        return self.timed or Difference(self.gain, self.noise).clear


def change_between(
    version: Version, other: Version, aggregates: Mapping[int, float] | None = None
) -> Change | None:
    """The change from `other` to `version`; None if `other` has no score to compare with.

    What the gate measured by alternate timing counts, if it compared these two. `aggregates`
    (version number → aggregate) take the place of the scores at the gate, such as those measured
    again under present conditions.
    """
    timed = version.timed_against
    if timed is not None and timed[0] == other.number:
        return Change(timed[1], other.number, timed=True)
    new, old = version.aggregate, other.aggregate
    if aggregates is not None:
        new, old = aggregates.get(version.number, new), aggregates.get(other.number, old)
    if old <= 0:
        return None
    noise = math.hypot(version.score.noise, other.score.noise)
    return Change(new / old - 1, other.number, timed=False, noise=noise)


def change_of(
    version: Version,
    versions: Mapping[int, Version],
    aggregates: Mapping[int, float] | None = None,
) -> Change | None:
    """What a version changed: over the version that the gate timed it against, else over its
    parent. None for the first version, and where the parent has no score or is missing."""
    timed = version.timed_against
    if timed is not None:
        return Change(timed[1], timed[0], timed=True)
    parent = None if version.parent is None else versions.get(version.parent)
    return None if parent is None else change_between(version, parent, aggregates)
