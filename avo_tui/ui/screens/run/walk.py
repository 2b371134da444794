"""Inspect and follow: where the cursor of the lineage goes, and the way back to the live run."""

from __future__ import annotations

from time import monotonic

from textual.timer import Timer

from avo_tui.ui.panes.lineage.graph_layout import Key, key_of_version
from avo_tui.ui.screens.run.arrangement import Arrangement
from avo_tui.ui.screens.run.finder import Finder
from avo_tui.ui.screens.run.scene import Scene
from avo_tui.ui.widgets.lines import LinesView

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
