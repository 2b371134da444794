"""The parts that the run screen owns: what is shown, the cursor, finding, the panes' places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.widgets.bars import TabBar
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView


class Scene:
    """Shared by the parts of the run screen."""

    def __init__(self, screen: AvoScreen, repaint: Callable[[], None]) -> None:
        self.screen = screen
        self.repaint = repaint
        """Paints the current snapshot and selection; panes that are up to date are left
        unchanged."""
        self.snapshot: Snapshot | None = None
        self.settled: Key | None = None
        """Key of the row that the panes show; it is updated when the cursor has stopped moving.
        None for the live run."""

    @property
    def host(self) -> Host:
        return self.screen.host

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


PANES = ("lineage", "plan", "diff", "output", "score")
RIGHT = ("plan", "diff", "output")
"""Panes of the right column; if there is room for only one, the last active one is shown."""
NAMES = {"lineage": "Lineage", "plan": "Plan", "diff": "Diff", "output": "Output", "score": "Score"}
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

    def __init__(self, scene: Scene) -> None:
        self._scene, self._screen = scene, scene.screen
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
            shown = set(PANES)
            if solo:
                shown = {self.active}
            elif how == "medium":
                shown = {"lineage", "score", self.active if self.active in RIGHT else self._right}
            for name in PANES:
                screen.query_one(f"#{name}").display = name in shown
            screen.query_one("#left").display = bool(shown & {"lineage", "score"})
            screen.query_one("#right").display = bool(shown & set(RIGHT))
            screen.query_one("#tabs", TabBar).display = how != "wide" or self.zoomed
            self._mark_right()
        self._draw_tabs()

    def _mark_right(self) -> None:
        if self.active in RIGHT:
            self._right = self.active

    def _draw_tabs(self) -> None:
        names = [(i + 1, NAMES[p]) for i, p in enumerate(PANES)]
        active = PANES.index(self.active) + 1
        self._screen.query_one("#tabs", TabBar).show_tabs(names, active)

    def show(self, name: str) -> None:
        """Focus a pane, showing it if it is hidden."""
        self.active = name
        self.arrange()
        self._screen.query_one(f"#{name}-view").focus()
        self._screen.call_after_refresh(self._scene.repaint)

    def next(self, by: int) -> None:
        """Focus the pane that comes `by` places later in the order of the numbers."""
        current = self._screen.pane_of_focus() or self.active
        self.show(PANES[(PANES.index(current) + by) % len(PANES)])

    def focus_moved(self) -> None:
        """The active pane is the focused one."""
        pane = self._screen.pane_of_focus()
        if pane is not None and pane != self.active:
            self.active = pane
            self._mark_right()
            self._draw_tabs()

    def toggle_zoom(self) -> None:
        self.zoomed = not self.zoomed
        self.arrange()
        self._screen.call_after_refresh(self._scene.repaint)


class Finder:
    """What `/`, `n` and `y` do on the run screen."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._screen = scene, scene.screen
        self._pane = "lineage"
        """The pane that is searched."""

    @property
    def bar(self) -> FindBar:
        """The row in which the text is typed."""
        return self._screen.query_one(FindBar)

    def open(self) -> None:
        """Open the row: a filter of the lineage, or a search in the focused pane."""
        pane = self._screen.pane_of_focus() or "lineage"
        self._pane = pane if pane != "score" else "lineage"
        label = "filter the lineage" if self._pane == "lineage" else f"find in {self._pane}"
        self.bar.open(f"/ {label}")

    def changed(self, text: str, done: bool) -> None:
        """Another text was typed; `done` when enter was pressed."""
        if self._pane == "lineage":
            count = self._scene.lineage.filter(text)
            self.bar.set_count(formats.many(count, "row"))
            self._scene.repaint()
        else:
            count = self._screen.query_one(f"#{self._pane}-view", LinesView).search(text)
            self.bar.set_count(f"{formats.many(count, 'hit')} · n next" if text else "")
        if done:
            self._screen.query_one(f"#{self._pane}-view").focus()
            self._screen.refresh_footer()

    def closed(self) -> None:
        self.end()
        self._screen.query_one(f"#{self._pane}-view").focus()

    def end(self) -> None:
        """Show all rows again, and no hits."""
        lineage = self._scene.lineage
        if lineage.needle:
            lineage.filter("")
            if lineage.cursor is not None:
                lineage.reveal()
        for view in self._screen.query(LinesView):
            view.search("")
        self._scene.repaint()

    def next_hit(self) -> None:
        """To the next row that holds the text."""
        view = self._focused_view()
        if isinstance(view, LinesView):
            number, count = view.next_hit(1)
            empty = "nothing to go to: / finds text in this pane"
            self._screen.app.notify(f"{number} of {count}" if count else empty, timeout=2)

    def copy(self) -> None:
        view = self._focused_view()
        if not isinstance(view, LinesView):
            self._screen.app.notify("there is no text in this pane", timeout=2)
            return
        rows = view.plain_rows()
        self._screen.app.copy_to_clipboard("\n".join(rows))
        self._screen.app.notify(f"copied {len(rows)} lines", timeout=2)

    def _focused_view(self) -> Widget | None:
        pane = self._screen.pane_of_focus()
        return self._screen.query_one(f"#{pane}-view") if pane else None


REST_SECONDS = 0.15


class Walk:
    """Moves the cursor, and shows the row on which it stops."""

    def __init__(self, scene: Scene, arrangement: Arrangement, finder: Finder) -> None:
        self._scene, self._arrangement, self._finder = scene, arrangement, finder
        self._moved_at = 0.0
        self._rest: Timer | None = None

    def inspect(self, number: int | None) -> None:
        """Look at a version; nothing happens for None."""
        if number is not None:
            self._scene.lineage.pick(key_of_version(number))

    def inspect_row(self, key: Key) -> None:
        """Look at a row of the lineage; the step of an attempt is unfolded for it."""
        lineage = self._scene.lineage
        if lineage.needle:
            self._finder.end()
        if key[0] == "a":
            lineage.unfolded |= {key[1]}
        self._scene.repaint()
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
            self._scene.screen.call_after_refresh(self._settle)
        else:
            self._rest = self._scene.screen.set_timer(REST_SECONDS, self._settle)

    def _settle(self) -> None:
        """Show what the cursor has come to rest on."""
        if self._scene.screen.ready:
            self._scene.settled = self._scene.lineage.cursor
            self._scene.repaint()
            self._scene.screen.refresh_footer()

    def live(self) -> None:
        """Go back one level: end the filter, the zoom, or the inspection."""
        scene = self._scene
        if scene.lineage.needle:
            self._finder.end()
        elif self._arrangement.zoomed:
            self._arrangement.toggle_zoom()
            return
        scene.lineage.live()
        scene.settled = None
        scene.screen.query_one("#plan-view", LinesView).action_scroll_end()
        scene.repaint()

    def parent(self) -> None:
        """To the parent of what is looked at; to the head while the run is followed."""
        scene = self._scene
        if scene.snapshot is not None:
            subject = scene.subject
            self.inspect(scene.snapshot.session.head if subject.live else subject.parent)

    def next_bookmark(self) -> None:
        """To the next bookmark, from the newest to the oldest, round and round."""
        scene = self._scene
        if scene.snapshot is None:
            return
        versions = scene.snapshot.versions
        marked = sorted((n for n, v in versions.items() if v.bookmark), reverse=True)
        if not marked:
            scene.host.notify("no version has a bookmark: m sets one", timeout=3)
            return
        hand = scene.version_in_hand
        start = hand.number if hand is not None and scene.cursor is not None else 10**9
        self.inspect(next((n for n in marked if n < start), marked[0]))


@dataclass
class RunParts:
    """The object that the actions of the run screen receive."""

    scene: Scene
    arrangement: Arrangement
    finder: Finder
    walk: Walk
    diff: DiffPainter | None = None
    """None until the screen is mounted; so is `score`."""
    score: ScorePainter | None = None

    @property
    def host(self) -> Host:
        return self.scene.host

    @property
    def snapshot(self) -> Snapshot | None:
        """What is known of the run; None until the first snapshot."""
        return self.scene.snapshot

    @property
    def known(self) -> Snapshot:
        """The current snapshot, for actions whose condition guarantees that there is one."""
        assert self.scene.snapshot is not None
        return self.scene.snapshot

    @property
    def version(self) -> Version:
        """The selected version, for actions whose condition guarantees that there is one."""
        version = self.scene.version_in_hand
        assert version is not None
        return version
