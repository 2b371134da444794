"""Lists with a cursor: tables of one row for each entry, and lists of entries of several rows."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.message import Message

from avo_tui.ui.widgets.lines import LinesView


class CursorList(LinesView):
    """Lines with a cursor on one of `count` entries, each of one row, below a heading.

    The cursor is shown weaker without the focus.
    """

    BINDINGS = [  # noqa: RUF012
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home,g", "move(-1000000)", show=False),
        Binding("end,G", "move(1000000)", show=False),
    ]

    class Moved(Message):
        """The cursor moved to another entry."""

    class Opened(Message):
        """An entry was clicked twice."""

    def __init__(self, id: str, *, head: int = 1) -> None:
        """`head` is the number of rows above the first entry."""
        super().__init__(id=id)
        self.head = head
        self.index = 0
        self.count = 0

    def rows_of(self, index: int) -> tuple[int, int]:
        return index + self.head, index + self.head

    def entry_of(self, row: int) -> int | None:
        index = row - self.head
        return index if 0 <= index < self.count else None

    def action_move(self, by: int) -> None:
        if not self.count:
            return
        self.index = max(0, min(self.count - 1, self.index + by))
        first, last = self.rows_of(self.index)
        top, height = self.scroll_offset.y, self.size.height
        if first < top + self.head:
            self._scroll(max(0, first - self.head))
        elif last >= top + height:
            self._scroll(last - height + 1)
        self.refresh()
        self.post_message(self.Moved())

    def action_move_page(self, way: int) -> None:
        self.action_move(way * max(1, self.size.height - 2))

    def over(self, index: int) -> str:
        if self.entry_of(index) == self.index:
            return "cursor" if self.has_focus else "cursor-blur"
        return super().over(index)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """A click picks, a second one opens."""
        entry = self.entry_of(event.y + self.scroll_offset.y)
        if entry is not None:
            self.index = entry
            self.action_move(0)
            if event.chain > 1:
                self.post_message(self.Opened())


class PickList(CursorList):
    """Rows with the same `meta`, which follow each other, form an entry."""

    def __init__(self, id: str) -> None:
        super().__init__(id, head=0)
        self._keys: list[object] = []
        self._entries: dict[object, tuple[int, int]] = {}
        """Key → its first and last row."""

    @property
    def key(self) -> object:
        """The `meta` of the entry under the cursor; None in an empty list."""
        return self._keys[self.index] if self._keys else None

    def _rebuild(self, reset: bool = False, end: bool = True) -> None:
        before = self.key
        super()._rebuild(reset, end)
        self._entries = {}
        for i, row in enumerate(self.lines):
            if row.meta is not None:
                self._entries[row.meta] = (self._entries.get(row.meta, (i, i))[0], i)
        self._keys = list(self._entries)
        self.count = len(self._keys)
        self.index = self._keys.index(before) if before in self._entries else 0

    def rows_of(self, index: int) -> tuple[int, int]:
        return self._entries[self._keys[index]]

    def entry_of(self, row: int) -> int | None:
        meta = self.row(row).meta
        return self._keys.index(meta) if meta in self._entries else None
