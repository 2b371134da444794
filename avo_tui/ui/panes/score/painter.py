"""The score pane: the chart of the best and of every version."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from statistics import geometric_mean

from rich.cells import cell_len

from avo_tui.domain.roofline import shares
from avo_tui.ui import formats
from avo_tui.ui.loader import Loader
from avo_tui.ui.panes.painter import PanePainter
from avo_tui.ui.panes.score.chart import ChartData
from avo_tui.ui.panes.score.data import ChartView, chart_data
from avo_tui.ui.panes.score.spans import Span, chart_spans, end_of_span
from avo_tui.ui.panes.score.view import Chart
from avo_tui.ui.panes.selection import Selection
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import Span as Words
from avo_tui.ui.text import cut, one_line

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
        self._data = ChartData()

    def toggle_axis(self) -> None:
        """Versions or time, of the whole run."""
        by_time = not self._view.by_time or self._span is not None
        self._span = None
        self._view = replace(self._view, by_time=by_time, since=None)

    def next_curve(self, snapshot: Snapshot) -> None:
        """The aggregate, or the next configuration."""
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
        return self._data.nearest(share)

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        """The chart, with the subject marked where it is a version."""
        view, span = self._view, self._span
        if span is not None:
            view = replace(view, since=self._since())
        self.pane.set_info(self._title(snapshot))
        selected = subject.version.number if subject.version is not None else None
        size = self.chart.content_size
        by_time = view.by_time or span is not None
        basis = (
            len(snapshot.versions),
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
        room = size.width - AXIS_CELLS
        self._data = chart_data(snapshot, view, selected=selected, room=room, now=self.host.clock())
        self.chart.show(self._data)

    def _title(self, snapshot: Snapshot) -> list[Words]:
        """What the chart shows, as much of it as there is room for."""
        over = "over time" if self._view.by_time else "over versions"
        axis = over
        if self._span is not None:
            axis = self._span.name + self._until(snapshot)
        reference = one_line(snapshot.session.task.reference_baseline, 16)
        part = self._share_of_peak(snapshot)
        peak = "" if part is None else f" · best {formats.share(part)} of peak"
        # Where the share of the peak is known it says more than the axis, which has its labels.
        axis = "" if peak and self._span is None else f" {axis}"
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
        """When the span in hand begins."""
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
