"""Prepares the data of the score chart from a snapshot: the aggregate, or one configuration."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import geometric_mean

from avo_tui.domain.records import LIVE_STATES
from avo_tui.domain.score import Score
from avo_tui.ui import formats
from avo_tui.ui.panes.score.chart import ChartData, Point, version_labels
from avo_tui.ui.panes.score.spans import end_of_span
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import one_line


@dataclass(frozen=True, slots=True)
class ChartView:
    """The person's choice of what the chart shows."""

    by_time: bool = False
    """True for time on the horizontal axis; otherwise versions."""
    configuration: str | None = None
    """Name of the configuration; None for the aggregate."""
    since: datetime | None = None
    """Left end of a time axis; None for the whole run."""


def chart_data(
    snapshot: Snapshot, view: ChartView, *, selected: int | None, room: int, now: datetime
) -> ChartData:
    """The chart of a snapshot: the aggregate, or the ratio of one configuration.

    Over time it holds rejected attempts as well, and reaches to `now` while the run goes on; a span
    reaches to `now` also where the run has stopped meanwhile (`end_of_span`). `room` is the number
    of columns; x are hours since the session was made, or numbers of versions.
    """
    versions = snapshot.versions
    if not versions:
        return ChartData()
    if view.since is not None:  # a chart does not begin before the session does
        view = replace(view, since=max(view.since, snapshot.session.created))
    axis = _Axis.of(snapshot, view)
    points = thin(_versions(snapshot, view, axis), room * 4, selected)
    if axis.by_time and view.configuration is None:
        points += thin(_rejected(snapshot, axis), room * 2, None)
    newest = versions[max(versions)]
    rewinds = [r for r in snapshot.commands.values() if r.kind == "rewind" and r.refused is None]
    marks = [(axis.place(r.at), "↶") for r in rewinds if axis.holds(r.at)]
    marks += [(axis.place(i.at), "!") for i in snapshot.supervision.values() if axis.holds(i.at)]
    if axis.by_time:
        last = snapshot.session.last_event_at or newest.created
        if view.since is not None:
            end = axis.place(end_of_span(snapshot, view.since, now))
        else:
            end = axis.place(max(now, last) if snapshot.run_state in LIVE_STATES else last)
    else:
        end = max(axis.numbers)
    first = axis.first if axis.by_time else min(axis.numbers)
    return ChartData(
        points=tuple(points),
        baselines=baselines(newest.score, view.configuration),
        marks=tuple(marks),
        selected=selected,
        labels=_labels(axis, first, end, room),
        end=end,
        begin=first if view.since is not None else None,
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Converts moments and versions to positions on the horizontal axis."""

    by_time: bool
    created: datetime
    since: datetime | None
    numbers: tuple[int, ...]
    """All versions, ascending."""
    stamps: tuple[datetime, ...]
    """When each of them was committed."""

    @classmethod
    def of(cls, snapshot: Snapshot, view: ChartView) -> _Axis:
        numbers = tuple(sorted(snapshot.versions))
        stamps = tuple(snapshot.versions[n].created for n in numbers)
        by_time = view.by_time or view.since is not None
        return cls(by_time, snapshot.session.created, view.since, numbers, stamps)

    @property
    def first(self) -> float:
        """The left end of an axis of time."""
        return self._hours(self.since) if self.since is not None else self._hours(self.stamps[0])

    def holds(self, moment: datetime) -> bool:
        """Whether a moment is on the axis."""
        return self.since is None or moment >= self.since

    def place(self, moment: datetime) -> float:
        """The x of a moment: its hour, or the version that was the newest then."""
        if self.by_time:
            return self._hours(moment)
        return float(self.numbers[max(0, bisect_right(self.stamps, moment) - 1)])

    def _hours(self, moment: datetime) -> float:
        return (moment - self.created).total_seconds() / 3600


def _versions(snapshot: Snapshot, view: ChartView, axis: _Axis) -> list[Point]:
    """Each version on the axis, and the best of those before it at its left end."""
    versions = snapshot.versions
    alive: set[int] = set()
    current = snapshot.session.head
    while current is not None and current in versions and current not in alive:
        alive.add(current)
        current = versions[current].parent
    before: Point | None = None
    points: list[Point] = []
    for number in axis.numbers:
        version = versions[number]
        value = snapshot.aggregates.get(number, 0.0)
        if view.configuration is not None:
            value = version.ratios.get(view.configuration, 0.0)
        x = axis.place(version.created) if axis.by_time else float(number)
        point = Point(x, value, number, number in alive, number in snapshot.leaders)
        if axis.holds(version.created):
            points.append(point)
        elif point.leads:
            before = replace(point, x=axis.first)
    return [before, *points] if before is not None else points


def _rejected(snapshot: Snapshot, axis: _Axis) -> list[Point]:
    """Attempts that were correct and became no version. Numbers are negative: they name none."""
    return [
        Point(axis.place(a.at), a.aggregate, -index, on_line=False, tried=True)
        for index, a in enumerate(snapshot.attempts.values(), 1)
        if a.version is None and a.aggregate > 0 and axis.holds(a.at)
    ]


def _labels(axis: _Axis, first: float, end: float, room: int) -> tuple[tuple[float, str], ...]:
    """Labels below the axis: versions, hours since the start, or the time of day of a span."""
    if not axis.by_time:
        return version_labels({n: float(n) for n in axis.numbers}, room)
    if axis.since is None:
        return _hours(first, end)
    form = "%H:%M" if end - first <= 24 else "%d %b %H:%M"
    moments = (first, (first + end) / 2, end)
    return tuple((x, f"{(axis.created + timedelta(hours=x)).astimezone():{form}}") for x in moments)


def thin(points: list[Point], most: int, selected: int | None) -> list[Point]:
    """At most about `most` points; those most visible in the chart are kept."""
    if len(points) <= most or most <= 0:
        return points
    step = len(points) / most
    kept: dict[int, Point] = {}
    buckets: dict[int, Point] = {}
    for i, point in enumerate(points):
        if point.leads or point.number == selected:
            kept[i] = point
        buckets[int(i / step)] = point
    merged = {p.number: p for p in (*kept.values(), *buckets.values(), points[0], points[-1])}
    return [merged[n] for n in sorted(merged)]


def baselines(score: Score, configuration: str | None) -> tuple[tuple[str, float], ...]:
    """Baselines as ratios to the reference one, which is 1; of several the geometric mean."""
    reference = score.reference_baseline
    out = [(one_line(reference, 16), 1.0)]
    rows = [c for c in score.configurations if configuration in {None, c.name}]
    for name in rows[0].baselines if rows else ():
        if name == reference:
            continue
        values = [
            c.baselines[name] / c.baselines[reference]
            for c in rows
            if c.baselines.get(name, 0) > 0 and c.baselines.get(reference, 0) > 0
        ]
        if values:
            out.append((one_line(name, 16), geometric_mean(values)))
    return tuple(out)


SHORT = 60
"""Seconds: of a shorter run the axis of time is in seconds, of a longer one in minutes and more."""


def _hours(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Labels of the axis of time, in hours since the session was made."""
    middle = (low + high) / 2
    form = formats.duration if high * 3600 < SHORT else formats.clock
    return tuple((x, form(x * 3600)) for x in (low, middle, high))
