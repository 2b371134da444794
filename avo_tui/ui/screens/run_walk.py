"""Inspect and follow: where the cursor of the lineage goes, and the way back to live."""

from __future__ import annotations

from time import monotonic

from textual import on
from textual.timer import Timer

from avo_tui.ui.graph import key_of_version
from avo_tui.ui.screens.run_content import subject_of
from avo_tui.ui.screens.run_find import RunFind
from avo_tui.ui.screens.run_layout import RunLayout
from avo_tui.ui.widgets.chart import Chart
from avo_tui.ui.widgets.lineage import LineageView
from avo_tui.ui.widgets.lines import LinesView

REST_SECONDS = 0.15


class RunWalk(RunFind, RunLayout):
    """Jumps, marks, and settling on what the cursor rests on."""

    def __init__(self) -> None:
        super().__init__()
        self._moved_at = 0.0
        self._rest: Timer | None = None

    def inspect(self, number: int) -> None:
        """Look at a version."""
        self.lineage.pick(key_of_version(number))

    @on(LineageView.Picked)
    def _picked(self, event: LineageView.Picked) -> None:
        # The first move is shown at once; while a key is held down the panes wait until it rests,
        # so that a walk through a hundred versions does not compute a hundred differences.
        moment = monotonic()
        resting = moment - self._moved_at > REST_SECONDS
        self._moved_at = moment
        if self._rest is not None:
            self._rest.stop()
        if resting:
            self.call_after_refresh(self._settle)
        else:
            self._rest = self.set_timer(REST_SECONDS, self._settle)

    def _settle(self) -> None:
        """Show what the cursor has come to rest on."""
        if self.ready:
            self.settled = self.lineage.cursor
            self.repaint()
            self.refresh_footer()

    @on(LineageView.Opened)
    def _opened(self, event: LineageView.Opened) -> None:
        self.action_act("lineage")

    @on(LinesView.FollowChanged)
    def _follow_changed(self, event: LinesView.FollowChanged) -> None:
        self.repaint()

    def do_live(self) -> None:
        """One layer back: the filter, the zoom, the inspection."""
        if self.lineage.needle:
            self.end_filter()
        elif self.zoomed:
            self.do_zoom()
            return
        self.lineage.live()
        self.settled = None
        for view in self.query(LinesView):
            if view.id == "plan-view":
                view.action_scroll_end()
        self.repaint()

    def do_best(self) -> None:
        """To the best version."""
        if self.snapshot is not None and self.snapshot.best is not None:
            self.inspect(self.snapshot.best.number)

    def do_head(self) -> None:
        """To the head."""
        if self.snapshot is not None and self.snapshot.session.head is not None:
            self.inspect(self.snapshot.session.head)

    def do_parent(self) -> None:
        """To the parent."""
        if self.snapshot is None:
            return
        subject = subject_of(self.snapshot, self.lineage.cursor)
        parent = subject.parent if not subject.live else self.snapshot.session.head
        if parent is not None:
            self.inspect(parent)

    def do_next_mark(self) -> None:
        """To the next bookmark, from the newest to the oldest, round and round."""
        if self.snapshot is None:
            return
        marked = sorted((n for n, v in self.snapshot.versions.items() if v.bookmark), reverse=True)
        if not marked:
            self.app.notify("no version has a bookmark: m sets one", timeout=3)
            return
        at = self.version_in_hand.number if self.version_in_hand and self.cursor else 10**9
        self.inspect(next((n for n in marked if n < at), marked[0]))

    def do_mark(self) -> None:
        """Mark for a comparison."""
        if self.version_in_hand is not None:
            self.lineage.mark(self.version_in_hand.number)

    @on(Chart.Clicked)
    def _chart_clicked(self, event: Chart.Clicked) -> None:
        if self.snapshot is None or not self.snapshot.versions:
            return
        numbers = sorted(self.snapshot.versions)
        self.inspect(numbers[round(event.share * (len(numbers) - 1))])
