"""Lists of rows with a cursor."""

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
        return "cursor" if self.count and index == self.index + self.HEAD else ""

    def on_click(self, event: events.Click) -> None:
        """A click picks, a second one opens."""
        row = event.y + self.scroll_offset.y - self.HEAD
        if 0 <= row < self.count:
            self.index = row
            self.action_move(0)
            if event.chain > 1:
                self.post_message(self.Opened())


class PickList(LinesView):
    """Rows with the same `meta` form an entry; the cursor moves by whole entries."""

    BINDINGS = [  # noqa: RUF012
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("home,g", "move(-1000000)", show=False),
        Binding("end,G", "move(1000000)", show=False),
    ]

    class Moved(Message):
        """The cursor moved."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.key: object = None

    def _keys(self) -> list[object]:
        return list(dict.fromkeys(row.meta for row in self.lines if row.meta is not None))

    def _rebuild(self, reset: bool = False, end: bool = True) -> None:
        super()._rebuild(reset, end)
        keys = self._keys()
        if self.key not in keys:
            self.key = keys[0] if keys else None

    def action_move(self, by: int) -> None:
        keys = self._keys()
        if not keys:
            return
        position = keys.index(self.key) if self.key in keys else 0
        self.key = keys[max(0, min(len(keys) - 1, position + by))]
        rows = [i for i, row in enumerate(self.lines) if row.meta == self.key]
        top, height = self.scroll_offset.y, self.size.height
        if rows[0] < top:
            self._scroll(rows[0])
        elif rows[-1] >= top + height:
            self._scroll(rows[-1] - height + 1)
        self.refresh()
        self.post_message(self.Moved())

    def over(self, index: int) -> str:
        meta = self.row(index).meta
        if meta is not None and meta == self.key:
            return "cursor" if self.has_focus else "cursor-blur"
        return super().over(index)

    def on_click(self, event: events.Click) -> None:
        meta = self.row(event.y + self.scroll_offset.y).meta
        if meta is not None:
            self.key = meta
            self.action_move(0)
