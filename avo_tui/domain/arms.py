"""Arms of an experiment: several runs made alike, compared with runs that differ in one thing.

Scores are ratios, so means are geometric: an arm's mean score and the ratio of two arms' means,
each with a 95% interval by Student's t on the logarithms (the ratio's with degrees of freedom by
Welch and Satterthwaite). With three runs an arm such an interval is wide, and says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from avo_tui.domain import student_t
from avo_tui.domain.trajectory import Axis, Trajectory, position

TAIL = 0.025
"""Probability on either side of an interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95% interval."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Arm:
    """Runs that were made alike."""

    name: str
    runs: tuple[Trajectory, ...]

    def scores(self, axis: Axis, budget: float) -> list[float]:
        """The best score of each run within `budget` of the axis's unit; 0.0 for none."""
        return [run.best_at(axis, budget) for run in self.runs]

    def course(self, axis: Axis, end: float) -> list[tuple[float, float, float, float]]:
        """(position, lowest, median, highest best score of the runs), ascending, up to `end`;
        a row wherever a run's best changes. The first is where each run has a version."""
        changes = {position(p, axis) for run in self.runs for p in run.points}
        rows = []
        for spent in sorted({x for x in changes if x <= end} | {end}):
            scores = self.scores(axis, spent)
            if min(scores) > 0:
                rows.append((spent, min(scores), statistics.median(scores), max(scores)))
        return rows


def mean(scores: Sequence[float]) -> Interval | None:
    """The geometric mean; None for fewer than two runs, or one without a score."""
    estimate = _estimate(scores)
    if estimate is None:
        return None
    middle, variance, degrees = estimate
    return _interval(middle, variance, degrees)


def ratio(scores: Sequence[float], others: Sequence[float]) -> Interval | None:
    """The geometric mean of `scores` over that of `others`; None where either has none."""
    ours, theirs = _estimate(scores), _estimate(others)
    if ours is None or theirs is None:
        return None
    variance = ours[1] + theirs[1]
    parts = ours[1] ** 2 / ours[2] + theirs[1] ** 2 / theirs[2]
    return _interval(ours[0] - theirs[0], variance, variance**2 / parts if parts else 1.0)


def _estimate(scores: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean of the logarithms, the variance of that mean, and its degrees of freedom."""
    if len(scores) < 2 or min(scores) <= 0:
        return None
    logs = [math.log(score) for score in scores]
    return statistics.mean(logs), statistics.variance(logs) / len(logs), len(logs) - 1


def _interval(middle: float, variance: float, degrees: float) -> Interval:
    wide = student_t.quantile(TAIL, degrees) * math.sqrt(variance)
    return Interval(math.exp(middle), math.exp(middle - wide), math.exp(middle + wide))
