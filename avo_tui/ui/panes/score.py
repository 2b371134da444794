"""The score pane: the chart of the best and of every version, over versions or a span of time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate, count
from statistics import geometric_mean
from typing import TYPE_CHECKING, Literal, get_args

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip

from avo_tui.domain.machine import RATES, peak, shares
from avo_tui.domain.records import LIVE_STATES
from avo_tui.domain.score import Score
from avo_tui.ui import formats
from avo_tui.ui.charts import (
    LEFT,
    ChartData,
    Point,
    Roofline,
    Scale,
    render,
    roofline_room,
    roofline_rows,
    ticks,
    version_labels,
)
from avo_tui.ui.loader import Loader
from avo_tui.ui.panes.base import PanePainter, Selection
from avo_tui.ui.panes.graph import line_of
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.terminal.images import Drawing
from avo_tui.ui.text import BLANK, Line, cut, line, one_line
from avo_tui.ui.text import Span as Words
from avo_tui.ui.widgets.paint import Painter

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Span:
    """A span of a run that ends now: of fixed length, or from a given moment on."""

    name: str
    """In words, such as `the last hour`."""
    length: timedelta | None = None
    since: datetime | None = None


def yesterday(now: datetime) -> datetime:
    """The beginning of yesterday in the person's time zone."""
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=1)


def end_of_span(snapshot: Snapshot, since: datetime, now: datetime) -> datetime:
    """Where a span that begins at `since` ends: now, also where the run has stopped meanwhile.

    Of a replay, and of a run that has been over for more than a day and for longer than the span
    had lasted until then, it is the last event: most of the chart would show that nothing happens.
    """
    last = snapshot.session.last_event_at or now
    if snapshot.replay is not None:
        return last
    idle, stretch = now - last, last - since
    over = snapshot.run_state not in LIVE_STATES and idle > max(stretch, timedelta(days=1))
    return last if over and last > since else max(now, last)


def chart_spans(snapshot: Snapshot, selected: int | None, now: datetime) -> list[Span]:
    """The spans in the order in which a key selects them; the whole run is not included."""
    out = [
        Span("the last hour", length=timedelta(hours=1)),
        Span("since yesterday", since=yesterday(now)),
    ]
    number = selected
    if number is None and snapshot.best is not None:
        number = snapshot.best.number
    if number is not None and number in snapshot.versions:
        out.append(Span(f"since v{number}", since=snapshot.versions[number].created))
    return out


Over = Literal["versions", "time", "evaluations", "cost", "roofline"]
OVER: tuple[Over, ...] = get_args(Over)


@dataclass(frozen=True, slots=True)
class ChartView:
    """The person's choice of what the chart shows."""

    over: Over = "versions"
    """What the horizontal axis counts."""
    configuration: str | None = None
    """Name of the configuration; None for the aggregate."""
    since: datetime | None = None
    """Left end of a time axis; None for the whole run."""
    near: bool = False
    """True for the range of the newer versions alone; older ones then stand at the lower edge."""


def chart_data(
    snapshot: Snapshot, view: ChartView, *, selected: int | None, room: int, now: datetime
) -> ChartData:
    """The chart of a snapshot: the aggregate, or the ratio of one configuration.

    Not over versions it holds rejected attempts as well. Over time it reaches to `now` while the
    run goes on; a span reaches to `now` also where the run has stopped meanwhile (`end_of_span`).
    `room` is the number of columns; x are numbers of versions, hours since the session was made,
    evaluations or dollars.
    """
    versions = snapshot.versions
    if not versions:
        return ChartData()
    if view.since is not None:  # a chart does not begin before the session does
        since = max(view.since, snapshot.session.created)
        view = replace(view, since=since, over="time")
    axis = _Axis.of(snapshot, view)
    points = thin(_versions(snapshot, view, axis), room * 4, selected)
    if view.over != "versions" and view.configuration is None:
        points += thin(_rejected(snapshot, axis), room * 2, None)
    newest = versions[max(versions)]
    rewinds = [r for r in snapshot.commands.values() if r.kind == "rewind" and r.refused is None]
    marks = [(axis.place(r.at), "↶") for r in rewinds if axis.holds(r.at)]
    marks += [(axis.place(i.at), "!") for i in snapshot.supervision.values() if axis.holds(i.at)]
    last = snapshot.session.last_event_at or newest.created
    if view.over == "versions":
        end = max(versions) + 1.0  # the newest version is as wide as the others
    elif view.since is not None:
        end = axis.place(end_of_span(snapshot, view.since, now))
    else:
        end = axis.place(max(now, last) if snapshot.run_state in LIVE_STATES else last)
    first = axis.place(view.since or snapshot.versions[min(versions)].created)
    return ChartData(
        points=tuple(points),
        baselines=baselines(newest.score, view.configuration),
        marks=tuple(marks),
        selected=selected,
        labels=_labels(axis, first, end, room),
        end=end,
        begin=first if view.since is not None else None,
        near=view.near,
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Converts moments to positions on the horizontal axis."""

    view: ChartView
    created: datetime
    stamps: Sequence[datetime]
    """When the count of the axis rose, ascending; empty for time."""
    counts: Sequence[float]
    """What it then was."""

    @classmethod
    def of(cls, snapshot: Snapshot, view: ChartView) -> _Axis:
        created = snapshot.session.created
        rises: list[tuple[datetime, float]] = []
        if view.over == "versions":
            rises = [(v.created, float(n)) for n, v in sorted(snapshot.versions.items())]
        elif view.over == "evaluations":
            moments = sorted(a.at for a in snapshot.attempts.values() if a.verdict is not None)
            rises = [(created, 0.0), *zip(moments, count(1.0), strict=False)]
        elif view.over == "cost":
            steps = sorted(snapshot.steps.values(), key=lambda step: step.started)
            spent = accumulate((step.usd for step in steps), initial=0.0)
            rises = list(zip((created, *(s.ended or s.started for s in steps)), spent, strict=True))
        return cls(view, created, [moment for moment, _ in rises], [many for _, many in rises])

    def holds(self, moment: datetime) -> bool:
        return self.view.since is None or moment >= self.view.since

    def place(self, moment: datetime) -> float:
        """The x of a moment: its hour, or what the axis had counted by then."""
        if not self.stamps:
            return (moment - self.created).total_seconds() / 3600
        return self.counts[max(0, bisect_right(self.stamps, moment) - 1)]


def _versions(snapshot: Snapshot, view: ChartView, axis: _Axis) -> list[Point]:
    """Each version on the axis, and the best of those before it at its left end."""
    versions = snapshot.versions
    alive = line_of(versions, snapshot.session.head)
    before: Point | None = None
    points: list[Point] = []
    for number, version in sorted(versions.items()):
        value = snapshot.aggregates.get(number, 0.0)
        if view.configuration is not None:
            value = version.ratios.get(view.configuration, 0.0)
        x = float(number) if view.over == "versions" else axis.place(version.created)
        leads = number in snapshot.leaders
        point = Point(x, value, number, number in alive, leads, star=version.star)
        if axis.holds(version.created):
            points.append(point)
        elif point.leads and view.since is not None:
            before = replace(point, x=axis.place(view.since))
    return [before, *points] if before is not None else points


def _rejected(snapshot: Snapshot, axis: _Axis) -> list[Point]:
    """Attempts that were correct and became no version. Numbers are negative: they name none."""
    return [
        Point(axis.place(a.at), a.aggregate, -index, on_line=False, tried=True)
        for index, a in enumerate(snapshot.attempts.values(), 1)
        if a.version is None and a.aggregate > 0 and axis.holds(a.at)
    ]


def _labels(axis: _Axis, first: float, end: float, room: int) -> tuple[tuple[float, str], ...]:
    """Labels below the axis: versions, counts, hours since the start, or the time of day."""
    over = axis.view.over
    if over == "versions":
        return version_labels({int(n): n for n in axis.counts}, room)
    if over != "time":
        marks = ticks(first, end, max(2, room // 12))
        return tuple((x, f"${x:,g}" if over == "cost" else f"{x:,g}") for x in marks)
    if axis.view.since is None:
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


def roofline(snapshot: Snapshot) -> Roofline | None:
    """The roofline of the best version; None where the machine's peak rates, or what a run of the
    kernel computes and moves, are not known."""
    best, engine, task = snapshot.best, snapshot.session.engine, snapshot.session.task
    machine = engine.machine if engine is not None else None
    if best is None or machine is None or best.device not in {"", machine.device}:
        return None
    top, scale = peak(machine), RATES.get(best.score.unit)
    if top is None or scale is None or top[1] <= 0 or machine.peak_bytes <= 0:
        return None
    points: list[tuple[str, float, float]] = []
    for c in best.score.configurations:
        operations, moved = task.work.get(c.name, (0.0, 0.0))
        if operations > 0 and moved > 0 and c.throughput > 0:
            points.append((one_line(c.name, 24), operations / moved, c.throughput * scale))
    return Roofline(tuple(points), top[1], machine.peak_bytes) if points else None


INKS = ("area", "axis", "baseline", "best", "curve", "faint", "on-area", "point", "warn")
"""Roles whose colours the chart is drawn in as an image."""


class Chart(Painter, can_focus=True):
    """Draws a chart; repaints only the rows that changed."""

    @dataclass
    class Clicked(Message):
        """A place on the chart was clicked; `share` is 0 at the left and 1 at the right."""

        share: float

    _data: ChartData | Roofline = ChartData()
    _rows: Sequence[Line] = ()
    _drawn_for: object = None

    def show(self, data: ChartData | Roofline) -> None:
        self._data = data
        self._redraw()

    def _redraw(self) -> None:
        size = self.content_size
        basis = (self._data, size)
        if basis == self._drawn_for or size.width <= 0:
            return
        self._drawn_for = basis
        if isinstance(self._data, Roofline):
            rows = roofline_rows(self._data, size.width, size.height)
        else:
            rows = render(self._data, size.width, size.height)
        rows = rows or [
            line(("The score of every version appears here,", "dim")),
            line(("against the baseline at 1.0.", "dim")),
        ]
        if rows != self._rows:
            self._rows = rows
            self.refresh(layout=False)

    def on_resize(self, event: events.Resize) -> None:
        self._redraw()

    def render_line(self, y: int) -> Strip:
        row = self._rows[y] if y < len(self._rows) else BLANK
        return self.paint(row, self.size.width)

    def drawing(self) -> Drawing | None:
        """What is between the axes; their numbers and labels, and the list, stay text."""
        data, size = self._data, self.content_size
        if self._drawn_for != (data, size) or len(self._rows) < 4:  # a sentence, or not laid out
            return None
        if isinstance(data, Roofline):
            columns, rows = roofline_room(data, size.width, size.height)
        else:
            scale = Scale.of(data, size.width, size.height)
            columns, rows = scale.columns, scale.rows
        colours = {role: self.role_style(role).color for role in INKS}
        colours["ground"] = self.rich_style.bgcolor
        ink = {role: c.triplet for role, c in colours.items() if c is not None and c.triplet}
        if len(ink) < len(colours):  # the terminal's own colours, which are not known
            return None

        def draw(cell: tuple[int, int]) -> Image:
            from avo_tui.ui import plot  # of the extra

            if isinstance(data, Roofline):
                return plot.roofline(data, (columns, rows), cell, ink)
            return plot.chart(data, scale, cell, ink)

        inside = self.content_region
        content = (data, tuple(ink.items()))
        return Drawing(inside.x + LEFT, inside.y, columns, rows, content, draw)

    def on_click(self, event: events.Click) -> None:
        columns = max(1, self.content_size.width - 7)
        self.post_message(self.Clicked(min(1.0, max(0.0, (event.x - 7) / columns))))


AXIS_CELLS = 7
"""Width in cells of the numbers of the vertical axis, left of the curve."""


class ScorePainter(PanePainter):
    """Over versions or time; of the aggregate or of one configuration."""

    NAME = "score"

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        super().__init__(screen, loader)
        self.chart = screen.query_one("#score-view", Chart)
        self._view = ChartView()
        self._span: Span | None = None
        self._data: ChartData | Roofline = ChartData()

    def next_axis(self, snapshot: Snapshot) -> None:
        """Versions, time, evaluations, cost where there is any, the roofline where it is known; a
        span first ends."""
        over = [o for o in OVER if o != "cost" or snapshot.session.spend.usd > 0]
        over = [o for o in over if o != "roofline" or roofline(snapshot) is not None]
        later = over[(over.index(self._view.over) + 1) % len(over)]
        self._view = replace(self._view, over="time" if self._span is not None else later)
        self._span = None

    def toggle_range(self) -> None:
        self._view = replace(self._view, near=not self._view.near)

    def next_curve(self, snapshot: Snapshot) -> None:
        names: list[str | None] = [None, *(c.name for c in snapshot.session.task.configurations)]
        current = self._view.configuration
        position = names.index(current) if current in names else 0
        self._view = replace(self._view, configuration=names[(position + 1) % len(names)])

    def next_span(self, snapshot: Snapshot, selected: int | None) -> None:
        """The last hour, since yesterday, since a version, then the whole run again."""
        choices = chart_spans(snapshot, selected, self.host.clock())
        names = [span.name for span in choices]
        later = names.index(self._span.name) + 1 if self._span and self._span.name in names else 0
        self._span = choices[later] if later < len(choices) else None

    def version_at(self, share: float) -> int | None:
        """The version nearest to a place on the chart: 0 is its left end, 1 its right end."""
        return self._data.nearest(share) if isinstance(self._data, ChartData) else None

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        """The chart, with the subject marked where it is a version."""
        roof = roofline(snapshot) if self._view.over == "roofline" else None
        if roof is None and self._view.over == "roofline":  # another machine by now
            self._view = replace(self._view, over="versions")
        view, span = self._view, self._span
        if span is not None:
            view = replace(view, since=self._since())
        self.pane.set_info(self._title(snapshot))
        notes = [snapshot.session.task.measured_by]
        if snapshot.best is not None:
            score = snapshot.best.score
            notes += [*score.on_other_inputs[:1], *score.errors]
        self.pane.set_columns([one_line(note) for note in notes if note])
        selected = subject.version.number if subject.version is not None else None
        size = self.chart.content_size
        by_time = view.over == "time" or span is not None
        basis = (
            len(snapshot.versions),
            len(snapshot.attempts) if view.over != "versions" else 0,
            snapshot.session.head,
            selected,
            self._view,
            span,
            len(snapshot.supervision),
            len(snapshot.commands),
            # a time axis ends at the present, so the chart is redrawn every minute
            int(self.host.clock().timestamp() / 60) if by_time else 0,
            size,
        )
        if not size.width or not self.differs(basis):
            return
        room, now = size.width - AXIS_CELLS, self.host.clock()
        if roof is not None and span is None:
            self._data = roof
        else:
            self._data = chart_data(snapshot, view, selected=selected, room=room, now=now)
        self.chart.show(self._data)

    def _title(self, snapshot: Snapshot) -> list[Words]:
        """What the chart shows, as much of it as there is room for."""
        if self._view.over == "roofline" and self._span is None and snapshot.best is not None:
            return [(f"roofline of v{snapshot.best.number}", "dim")]
        axis = f"over {self._view.over}"
        if self._span is not None:
            axis = self._span.name + self._until(snapshot)
        reference = one_line(snapshot.session.task.reference_baseline, 16)
        part = self._share_of_peak(snapshot)
        peak = "" if part is None else f" · best {formats.share(part)} of peak"
        # Where the share of the peak is known it says more than the axis, which has its labels.
        plain = peak and self._span is None and self._view.over != "evaluations"
        axis = "" if plain else f" {axis}"
        room = self.pane.size.width - len("5 Score") - 8
        one = self._view.configuration
        if one is not None:  # without its name the curve could be of anything
            name = one_line(one, 40)
            forms = (f"{name} × {reference}{axis}{peak}", f"{name} × {reference}{axis}",
                     f"{name} × {reference}", f"{name}{axis}", cut(name, max(4, room)))  # fmt: skip
        else:
            forms = (
                f"geomean × {reference}{axis}{peak}", f"× {reference}{axis}{peak}",
                f"× {reference}{axis}", peak.removeprefix(" · ") or axis.strip(), axis.strip(),
            )  # fmt: skip
        return [(next((form for form in forms if cell_len(form) <= room), forms[-1]), "dim")]

    def _until(self, snapshot: Snapshot) -> str:
        """Where the span does not reach to now: ` to the end of the run`."""
        since, now = self._since(), self.host.clock()
        if since is None or end_of_span(snapshot, since, now) >= now:
            return ""
        return " to its last event"

    def _since(self) -> datetime | None:
        if self._span is None or self._span.length is None:
            return None if self._span is None else self._span.since
        return self.host.clock() - self._span.length

    def _share_of_peak(self, snapshot: Snapshot) -> float | None:
        """How near the best version comes to the machine's peak; None where it is not known."""
        best, engine = snapshot.best, snapshot.session.engine
        if best is None or engine is None or engine.machine is None:
            return None
        if best.device not in {"", engine.machine.device}:
            return None
        peak_shares = shares(best.score, engine.machine)
        if self._view.configuration is not None:
            return peak_shares.get(self._view.configuration)
        above = [value for value in peak_shares.values() if value > 0]
        return geometric_mean(above) if above else None
