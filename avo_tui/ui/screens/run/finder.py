"""Finding and copying: the filter of the lineage, hits in the other panes, the clipboard."""

from __future__ import annotations

from textual.widget import Widget

from avo_tui.ui import formats
from avo_tui.ui.screens.run.scene import Scene
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.lines import LinesView


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
        """Escape was pressed in the row."""
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
        """Copy the focused pane's text."""
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
