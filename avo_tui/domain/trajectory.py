"""The course of a run, best score over what was spent, and arms of an experiment.

Runs can be compared only at equal budget, so each point says what had been spent by then. An arm is
several runs made alike, compared with runs that differ in one thing. Scores are ratios, so means
are geometric: an arm's mean score and the ratio of two arms' means, each with a 95% interval by
Student's t on the logarithms (the ratio's with degrees of freedom by Welch and Satterthwaite). With
three runs an arm such an interval is wide, and says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from avo_tui.domain import events as ev
from avo_tui.domain import lineage, student_t
from avo_tui.domain.base import Value
from avo_tui.domain.budget import Spend
from avo_tui.domain.records import Version

Axis = Literal["evaluations", "hours", "usd", "tokens"]


class Point(Value):
    """A moment at which another version became the best, or the end of the record."""

    spend: Spend
    """What the run had spent by then."""
    best: float
    """Aggregate of the best version: geomean of the ratio to the reference baseline."""
    version: int | None = None
    """Number of the version; None for the closing point."""


def position(point: Point, axis: Axis) -> float:
    """Where a point lies on an axis, in the axis's unit."""
    if axis == "hours":
        return point.spend.seconds / 3600
    return float(getattr(point.spend, axis))


@dataclass
class Trajectory:
    """The course of one run, built by applying its events in order."""

    spend: Spend = field(default_factory=Spend)
    _versions: dict[int, Version] = field(default_factory=dict)
    _spent_at: dict[int, Spend] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[ev.Event]) -> Trajectory:
        """The trajectory of a complete journal."""
        trajectory = cls()
        for event in events:
            trajectory.apply(event)
        return trajectory

    @property
    def points(self) -> list[Point]:
        """A point for each version that became the best, by the rule of `lineage.best_so_far`."""
        points: list[Point] = []
        for leader in lineage.best_so_far(self._versions.values()):
            if not points or points[-1].version != leader.number:
                spend = self._spent_at[leader.number]
                points.append(Point(spend=spend, best=leader.aggregate, version=leader.number))
        return points

    @property
    def best(self) -> float:
        """Aggregate of the best version so far, 0.0 before the first version."""
        points = self.points
        return points[-1].best if points else 0.0

    def apply(self, event: ev.Event) -> None:
        if isinstance(event, ev.Spent):
            self.spend = self.spend + event.spend
        elif isinstance(event, ev.VersionCommitted):
            self._versions[event.version.number] = event.version
            self._spent_at[event.version.number] = self.spend
        elif isinstance(event, ev.VersionAudited) and event.number in self._versions:
            version = self._versions[event.number]
            audits = (*version.audits, event.audit)
            self._versions[event.number] = version.replaced(audits=audits)

    def closed(self) -> list[Point]:
        """The points, with a further one for the present so that a chart reaches up to now."""
        points = self.points
        return [*points, Point(spend=self.spend, best=points[-1].best)] if points else []

    def best_at(self, axis: Axis, budget: float) -> float:
        """Best aggregate that was reached within `budget` of the axis's unit; 0.0 for none."""
        within = [p.best for p in self.points if position(p, axis) <= budget]
        return within[-1] if within else 0.0

    def needed(self, axis: Axis, target: float) -> float | None:
        """Budget spent, in the axis's unit, when the best first reached `target`; None if it never
        did."""
        return next((position(p, axis) for p in self.points if p.best >= target), None)


def common_budget(trajectories: Iterable[Trajectory], axis: Axis) -> float:
    """The largest budget that every run has spent; runs are compared at this budget."""
    used = [position(Point(spend=t.spend, best=0.0), axis) for t in trajectories]
    return min(used, default=0.0)


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
