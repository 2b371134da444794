"""Finding and copying: the filter of the lineage, hits in the other panes, the clipboard."""

from __future__ import annotations

from textual import on
from textual.widget import Widget

from avo_tui.ui import show
from avo_tui.ui.screens.run_base import RunBase
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.long import LongView


class RunFind(RunBase):
    """`/` and what follows from it; `y`."""

    def __init__(self) -> None:
        super().__init__()
        self._find_target = ""

    def do_filter(self) -> None:
        """Open the filter for the focused pane."""
        pane = self.pane_of_focus() or "lineage"
        self._find_target = pane if pane != "score" else "lineage"
        label = (
            "filter the lineage"
            if self._find_target == "lineage"
            else f"find in {self._find_target}"
        )
        self.query_one(FindBar).open(f"/ {label}")

    @on(FindBar.Changed)
    def _find_changed(self, event: FindBar.Changed) -> None:
        bar = self.query_one(FindBar)
        if self._find_target == "lineage":
            count = self.lineage.filter(event.text)
            bar.set_count(show.many(count, "row"))
            self.repaint()
        else:
            view = self.query_one(f"#{self._find_target}-view", LinesView)
            count = view.search(event.text) if event.text else view.search("")
            bar.set_count(f"{show.many(count, 'hit')} · n next" if event.text else "")
        if event.done:
            self.query_one(f"#{self._find_target}-view").focus()
            self.refresh_footer()

    @on(LongView.Searched)
    def _searched(self, event: LongView.Searched) -> None:
        self.query_one(FindBar).set_count(event.said)

    @on(FindBar.Closed)
    def _find_closed(self) -> None:
        self.end_filter()
        self.query_one(f"#{self._find_target or 'lineage'}-view").focus()

    def end_filter(self) -> None:
        """Show all rows again, and no hits."""
        if self.lineage.needle:
            self.lineage.filter("")
            if self.lineage.cursor is not None:
                self.lineage.reveal()
        for view in self.query(LinesView):
            view.search("")
        self.repaint()

    def do_next_hit(self) -> None:
        """The next row that was found."""
        pane = self.pane_of_focus()
        view = self.query_one(f"#{pane}-view") if pane and pane != "score" else None
        if isinstance(view, LinesView):
            at, count = view.next_hit(1)
            said = f"{at} of {count}" if count else "nothing to go to: / finds text in this pane"
            self.app.notify(said, timeout=2)

    def do_copy(self) -> None:
        """Copy the focused pane's text."""
        pane = self.pane_of_focus()
        view: Widget | None = self.query_one(f"#{pane}-view") if pane else None
        if not isinstance(view, LinesView):
            self.app.notify("there is no text in this pane", timeout=2)
            return
        rows = view.plain_rows()
        self.app.copy_to_clipboard("\n".join(rows))
        self.app.notify(f"copied {len(rows)} lines", timeout=2)
