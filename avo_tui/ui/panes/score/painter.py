"""The score pane: the chart of the best and of every version."""

from __future__ import annotations

from statistics import geometric_mean

from avo_tui.domain.roofline import shares
from avo_tui.ui.loader import Loader
from avo_tui.ui.panes.painter import PanePainter
from avo_tui.ui.panes.score.data import chart_data
from avo_tui.ui.panes.score.view import Chart
from avo_tui.ui.panes.subject import Subject
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot

AXIS_CELLS = 7
"""Left of the curve: the numbers of the vertical axis."""


class ScorePainter(PanePainter):
    """Over versions or time; of the aggregate or of one configuration."""

    NAME = "score"

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        super().__init__(screen, loader)
        self.chart = screen.query_one("#score-view", Chart)
        self._by_time = False
        self._configuration: str | None = None
        """None: the aggregate."""

    def toggle_axis(self) -> None:
        """Versions or time."""
        self._by_time = not self._by_time

    def next_curve(self, snapshot: Snapshot) -> None:
        """The aggregate, or the next configuration."""
        names: list[str | None] = [None, *(c.name for c in snapshot.session.task.configurations)]
        at = names.index(self._configuration) if self._configuration in names else 0
        self._configuration = names[(at + 1) % len(names)]

    def paint(self, snapshot: Snapshot, subject: Subject, changed: bool) -> None:
        """The chart, with the subject marked where it is a version."""
        what = self._configuration or "geomean"
        over = "time" if self._by_time else "versions"
        reference = snapshot.session.task.reference_baseline
        share = self._share_of_peak(snapshot)
        # Where the share of the peak is known it says more than the axis, which has its labels.
        after = f"over {over}" if share is None else f"· best {share:.0%} of peak"
        self.pane.set_info([(f"{what} × {reference} {after}", "dim")])
        selected = subject.version.number if subject.version is not None else None
        size = self.chart.content_size
        basis = (
            len(snapshot.versions),
            snapshot.session.head,
            selected,
            self._by_time,
            self._configuration,
            len(snapshot.supervision),
            len(snapshot.commands),
            int(snapshot.session.last_event_at.timestamp() / 60)
            if self._by_time and snapshot.session.last_event_at is not None
            else 0,  # over time the chart reaches to now, and is drawn anew every minute
            size,
        )
        if not size.width or not self.differs(basis):
            return
        self.chart.show(
            chart_data(
                snapshot,
                selected=selected,
                by_time=self._by_time,
                configuration=self._configuration,
                room=size.width - AXIS_CELLS,
            )
        )

    def _share_of_peak(self, snapshot: Snapshot) -> float | None:
        """How near the best version comes to the machine's peak; None where it is not known."""
        best, engine = snapshot.best, snapshot.session.engine
        if best is None or engine is None or engine.machine is None:
            return None
        if best.device not in {"", engine.machine.device}:
            return None
        found = shares(best.score, engine.machine)
        if self._configuration is not None:
            return found.get(self._configuration)
        above = [value for value in found.values() if value > 0]
        return geometric_mean(above) if above else None
