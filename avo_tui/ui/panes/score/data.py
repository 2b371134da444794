"""What the score chart shows of a snapshot: the aggregate, or one configuration."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from statistics import geometric_mean

from avo_tui.domain.score import Score
from avo_tui.ui import formats
from avo_tui.ui.panes.score.chart import ChartData, Point, version_labels
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import one_line


def chart_data(
    snapshot: Snapshot, *, selected: int | None, by_time: bool, configuration: str | None, room: int
) -> ChartData:
    """The chart of a snapshot: the aggregate, or the ratio of one configuration."""
    versions = snapshot.versions
    if not versions:
        return ChartData()
    alive: set[int] = set()
    current = snapshot.session.head
    while current is not None and current in versions and current not in alive:
        alive.add(current)
        current = versions[current].parent
    created = snapshot.session.created
    xs: dict[int, float] = {}
    points: list[Point] = []
    for number in sorted(versions):
        version = versions[number]
        x = (version.created - created).total_seconds() / 3600 if by_time else float(number)
        xs[number] = x
        value = snapshot.aggregates.get(number, 0.0)
        if configuration is not None:
            row = version.score.by_name(configuration)
            value = row.ratio if row is not None else 0.0
        points.append(Point(x, value, number, number in alive, number in snapshot.leaders))
    points = thin(points, room * 4, selected)
    numbers = sorted(versions)
    stamps = [versions[n].created for n in numbers]

    def place(moment: datetime) -> float:
        """The x of a moment: of its hour, or of the version that was the newest then."""
        if by_time:
            return (moment - created).total_seconds() / 3600
        return xs[numbers[max(0, bisect_right(stamps, moment) - 1)]]

    rewinds = [r for r in snapshot.commands.values() if r.kind == "rewind" and r.refused is None]
    marks = [(place(record.at), "↶") for record in rewinds]
    marks += [(place(made.at), "!") for made in snapshot.supervision.values()]
    end = place(snapshot.session.last_event_at or stamps[-1]) if by_time else max(xs.values())
    return ChartData(
        points=tuple(points),
        baselines=baselines(versions[numbers[-1]].score, configuration),
        marks=tuple(marks),
        selected=selected,
        labels=_hours(min(xs.values()), end) if by_time else version_labels(xs, room),
        end=end,
    )


def thin(points: list[Point], most: int, selected: int | None) -> list[Point]:
    """At most about `most` points: of the others, those that matter to the picture are kept."""
    if len(points) <= most:
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


def _hours(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Labels of the axis of time, in hours since the session was made."""
    middle = (low + high) / 2
    return tuple((x, formats.duration(x * 3600)) for x in (low, middle, high))
