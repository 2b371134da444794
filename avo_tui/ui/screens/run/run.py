"""What the person looks at on the run screen, how they get there, and the places of the panes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from textual.timer import Timer
from textual.widget import Widget

from avo_tui.domain.records import Version
from avo_tui.ui import formats
from avo_tui.ui.host import Host
from avo_tui.ui.panes.base import Selection, subject_of
from avo_tui.ui.panes.diff import DiffPainter
from avo_tui.ui.panes.graph import Key, key_of_version
from avo_tui.ui.panes.lineage import LineageView
from avo_tui.ui.panes.score import ScorePainter
from avo_tui.ui.screen import AvoScreen, search_text
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.widgets.bars import TabBar
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView

PANES = ("lineage", "plan", "diff", "output", "score")
RIGHT = ("plan", "diff", "output")
"""Panes of the right column; if there is room for only one, the last active one is shown."""
WIDE, MEDIUM, TALL = 120, 100, 30
"""Width in columns from which all panes are shown, and from which two are; height in rows below
which tabs are used."""


def arrangement(width: int, height: int) -> str:
    """`wide`: all panes. `medium`: the lineage, and one other beside it. `tabs`: one."""
    if width >= WIDE and height >= TALL:
        return "wide"
    return "medium" if width >= MEDIUM else "tabs"


class Arrangement:
    """Arranges the panes: by the size of the screen, tabs, zoom and focus."""

    def __init__(self, screen: AvoScreen, repaint: Callable[[], None]) -> None:
        self._screen, self._repaint = screen, repaint
        self.active = "lineage"
        """The pane that has, or had last, the focus."""
        self.zoomed = False
        self._arranged: object = None
        """The input of the current arrangement."""
        self._right = "plan"

    def arrange(self) -> None:
        """Show the panes that the size and the zoom allow."""
        screen = self._screen
        how = arrangement(*screen.app.size)
        solo = self.zoomed or how == "tabs"
        basis = (how, solo, self.active)
        if basis != self._arranged:
            self._arranged = basis
            screen.set_class(solo, "-solo")
            screen.set_class(how == "medium" and not solo, "-medium")
            if self.active in RIGHT:
                self._right = self.active
            shown = {"lineage", "score", self._right} if how == "medium" else set(PANES)
            shown = {self.active} if solo else shown
            for name in PANES:
                screen.query_one(f"#{name}").display = name in shown
            screen.query_one("#left").display = bool(shown & {"lineage", "score"})
            screen.query_one("#right").display = bool(shown & set(RIGHT))
            screen.query_one("#tabs", TabBar).display = how != "wide" or self.zoomed
        self._draw_tabs()

    def _draw_tabs(self) -> None:
        names = [(i, name.capitalize()) for i, name in enumerate(PANES, 1)]
        active = PANES.index(self.active) + 1
        self._screen.query_one("#tabs", TabBar).show_tabs(names, active)

    def show(self, name: str) -> None:
        """Focus a pane, showing it if it is hidden."""
        self.active = name
        self.arrange()
        self._screen.query_one(f"#{name}-view").focus()
        self._screen.call_after_refresh(self._repaint)

    def next(self, by: int) -> None:
        """Focus the pane that comes `by` places later in the order of the numbers."""
        current = self._screen.pane_of_focus() or self.active
        self.show(PANES[(PANES.index(current) + by) % len(PANES)])

    def focus_moved(self) -> None:
        """The active pane is the focused one."""
        pane = self._screen.pane_of_focus()
        if pane is not None and pane != self.active:
            self.active = pane
            self._right = pane if pane in RIGHT else self._right
            self._draw_tabs()

    def toggle_zoom(self) -> None:
        self.zoomed = not self.zoomed
        self.arrange()
        self._screen.call_after_refresh(self._repaint)


REST_SECONDS = 0.15


class Run:
    """What the actions of the run screen receive: what is looked at, the cursor, finding."""

    diff: DiffPainter
    """There once the screen is mounted; so is `score`."""
    score: ScorePainter

    def __init__(self, screen: AvoScreen, repaint: Callable[[], None]) -> None:
        self.screen = screen
        self.repaint = repaint
        """Paints the current snapshot and selection; panes that are up to date are left
        unchanged."""
        self.panes = Arrangement(screen, repaint)
        self.snapshot: Snapshot | None = None
        self.settled: Key | None = None
        """Key of the row that the panes show; it is updated when the cursor has stopped moving.
        None for the live run."""
        self._searched = "lineage"
        """The pane that is searched."""
        self._moved_at = 0.0
        self._rest: Timer | None = None

    @property
    def host(self) -> Host:
        return self.screen.host

    @property
    def known(self) -> Snapshot:
        """The current snapshot, for actions whose condition guarantees that there is one."""
        assert self.snapshot is not None
        return self.snapshot

    @property
    def lineage(self) -> LineageView:
        return self.screen.query_one("#lineage-view", LineageView)

    @property
    def cursor(self) -> Key | None:
        """Key of the selected row; None while the screen follows the run."""
        return self.lineage.cursor if self.screen.ready else None

    @property
    def filtered(self) -> bool:
        """Whether the lineage shows only the rows that hold a text, which may be none."""
        return self.screen.ready and bool(self.lineage.needle)

    @property
    def subject(self) -> Selection:
        """What is under the cursor; the live step while the screen follows the run."""
        return Selection() if self.snapshot is None else subject_of(self.snapshot, self.cursor)

    @property
    def version_in_hand(self) -> Version | None:
        """The selected version, or the one that the selected attempt was made from; else the
        head."""
        if self.snapshot is None:
            return None
        if self.filtered and self.cursor is None:
            return None  # a filter that nothing passes: the head is not what is looked at
        subject = self.subject
        if subject.version is not None:
            return subject.version
        if subject.attempt is not None:
            return self.snapshot.versions.get(subject.attempt.parent)
        return self.snapshot.head

    @property
    def version(self) -> Version:
        """The version in hand, for actions whose condition guarantees that there is one."""
        version = self.version_in_hand
        assert version is not None
        return version

    # -- finding

    @property
    def focused_view(self) -> Widget | None:
        pane = self.screen.pane_of_focus()
        return self.screen.query_one(f"#{pane}-view") if pane else None

    @property
    def searched_view(self) -> Widget:
        return self.screen.query_one(f"#{self._searched}-view")

    def open_find(self) -> None:
        """Open the row for a filter of the lineage, or for a search in the focused pane."""
        pane = self.screen.pane_of_focus() or "lineage"
        self._searched = pane if pane != "score" else "lineage"
        label = "filter the lineage" if self._searched == "lineage" else f"find in {pane}"
        self.screen.query_one(FindBar).open(f"/ {label}")

    def find(self, text: str) -> str:
        """Find another text; returns what is told beside it."""
        if not text:
            self.end_find()
        if self._searched != "lineage":
            view = self.searched_view
            return search_text(view, text) if isinstance(view, LinesView) else ""
        count = self.lineage.filter(text)
        self.repaint()
        return formats.many(count, "row")

    def end_find(self) -> None:
        """Show all rows again, and no hits."""
        lineage = self.lineage
        if lineage.needle:
            lineage.filter("")
            if lineage.cursor is not None:
                lineage.reveal()
        for view in self.screen.query(LinesView):
            view.search("")
        self.repaint()

    # -- the cursor

    def inspect(self, number: int | None) -> None:
        """Look at a version; nothing happens for None."""
        if number is not None:
            self.lineage.pick(key_of_version(number))

    def inspect_row(self, key: Key) -> None:
        """Look at a row of the lineage; the step of an attempt is unfolded for it."""
        lineage = self.lineage
        if lineage.needle:
            self.end_find()
        if key[0] == "a":
            lineage.unfolded |= {key[1]}
        self.repaint()
        lineage.pick(key)

    def moved(self) -> None:
        """Handle a move of the cursor.

        The first move is shown at once. While a key is held down the panes are not updated until
        the cursor stops, so that moving through a hundred versions does not compute a hundred
        differences.
        """
        moment = monotonic()
        resting = moment - self._moved_at > REST_SECONDS
        self._moved_at = moment
        if self._rest is not None:
            self._rest.stop()
        if resting:
            self.screen.call_after_refresh(self.settle)
        else:
            self._rest = self.screen.set_timer(REST_SECONDS, self.settle)

    def settle(self) -> None:
        """Show what the cursor has come to rest on."""
        if self.screen.ready:
            self.settled = self.lineage.cursor
            self.repaint()
            self.screen.refresh_footer()

    def live(self) -> None:
        """Go back one level: end the filter, the zoom, or the inspection."""
        if self.lineage.needle:
            self.end_find()
        elif self.panes.zoomed:
            self.panes.toggle_zoom()
            return
        self.lineage.live()
        self.settled = None
        self.screen.query_one("#plan-view", LinesView).action_scroll_end()
        self.repaint()
