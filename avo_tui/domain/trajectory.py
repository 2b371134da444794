"""The course of a run: best score over evaluations, running time and dollars.

Runs can be compared only at equal budget, so each point says what had been spent by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
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
        """Update the trajectory with one event."""
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
