"""The score chart as a widget."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.message import Message
from textual.strip import Strip

from avo_tui.ui.panes.score.chart import ChartData, render
from avo_tui.ui.text import BLANK, Line, line
from avo_tui.ui.widgets.paint import Painter


class Chart(Painter, can_focus=True):
    """Draws `ChartData`; repaints only the rows that changed."""

    class Clicked(Message):
        """A place on the chart was clicked; `share` is 0 at the left and 1 at the right."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._data = ChartData()
        self._rows: list[Line] = []
        self._drawn_for: object = None
        self.draw: Callable[[int], ChartData] | None = None

    def show(self, data: ChartData) -> None:
        """Show this from now on."""
        self._data = data
        self._redraw()

    def _redraw(self) -> None:
        size = self.content_size
        basis = (self._data, size)
        if basis == self._drawn_for or size.width <= 0:
            return
        self._drawn_for = basis
        rows = render(self._data, size.width, size.height) or [
            line(("The score of every version appears here,", "dim")),
            line(("against the baseline at 1.0.", "dim")),
        ]
        if rows != self._rows:
            self._rows = rows
            self.refresh(layout=False)

    def on_resize(self, event: events.Resize) -> None:
        """Draw for the new size."""
        self._redraw()

    def render_line(self, y: int) -> Strip:
        """Textual's line API."""
        row = self._rows[y] if y < len(self._rows) else BLANK
        return self.paint(row, self.size.width)

    def on_click(self, event: events.Click) -> None:
        """A click picks the version nearest to it."""
        columns = max(1, self.content_size.width - 7)
        self.post_message(self.Clicked(min(1.0, max(0.0, (event.x - 7) / columns))))
