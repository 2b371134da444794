"""The table of sessions, with a cursor."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.message import Message

from avo_tui.ui.widgets.lines import LinesView


class SessionList(LinesView):
    """The table with a cursor. Its first row is the heading."""

    HEAD = 1
    BINDINGS = [  # noqa: RUF012
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("home,g", "move(-1000000)", show=False),
        Binding("end,G", "move(1000000)", show=False),
    ]

    class Moved(Message):
        """The cursor moved to another row."""

    class Opened(Message):
        """A row was clicked twice."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.index = 0
        self.count = 0

    def action_move(self, by: int) -> None:
        """Up or down."""
        if self.count:
            self.index = max(0, min(self.count - 1, self.index + by))
            row = self.index + self.HEAD
            top, height = self.scroll_offset.y, self.size.height
            if row < top + self.HEAD:
                self._scroll(max(0, row - self.HEAD))
            elif row >= top + height:
                self._scroll(row - height + 1)
            self.refresh()
            self.post_message(self.Moved())

    def over(self, index: int) -> str:
        """The cursor's row."""
        return "cursor" if self.count and index == self.index + self.HEAD else ""

    def on_click(self, event: events.Click) -> None:
        """A click picks, a second one opens."""
        row = event.y + self.scroll_offset.y - self.HEAD
        if 0 <= row < self.count:
            self.index = row
            self.action_move(0)
            if event.chain > 1:
                self.post_message(self.Opened())
