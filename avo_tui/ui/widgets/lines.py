"""A scrolled view of lines: only what is seen is painted, only what changed is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import overload

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from avo_tui.ui.text import BLANK, Line
from avo_tui.ui.textual_internals import set_virtual_size
from avo_tui.ui.widgets.paint import Painter

COPY_ROWS = 100_000
"""Most rows that are copied at a time."""


class Rows(Sequence[Line]):
    """Rows that are made when they are displayed, so that 10,000 of them open at once."""

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self.at(i) for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.at(index)

    def at(self, index: int) -> Line:
        raise NotImplementedError


class LazyRows(Rows):
    """`make` gives the row of an index; some rows that were made are kept."""

    def __init__(self, count: int, make: Callable[[int], Line]) -> None:
        self._count = count
        self._made = lru_cache(2000)(make)

    def __len__(self) -> int:
        return self._count

    def at(self, index: int) -> Line:
        return self._made(index)


class LinesView(ScrollView, Painter, can_focus=True):
    """Lines with scrolling, following of the end, a search, selection without gutters.

    `build` gives the lines for a width; it is called again when the width changes. Rows that are
    equal before and after an update are not painted again, which keeps a busy screen cheap over
    a slow link.
    """

    BINDINGS = [  # noqa: RUF012
        Binding("up,k", "scroll_up", show=False),
        Binding("down,j", "scroll_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home,g", "scroll_home", show=False),
        Binding("end,G", "scroll_end", show=False),
        Binding("left", "scroll_left", show=False),
        Binding("right", "scroll_right", show=False),
    ]

    class FollowChanged(Message):
        """Sent when following the end starts or stops, or when lines are added while not
        following."""

    def __init__(self, id: str | None = None, *, follow: bool = False) -> None:
        super().__init__(id=id)
        self._build: Callable[[int], Sequence[Line]] = lambda width: ()
        self._lines: Sequence[Line] = ()
        self._built_for = -1
        self._follow = follow
        self.following = follow
        self.unseen = 0
        """Number of lines added below while the end was not followed."""
        self._search = ""
        self._hits: list[int] = []
        self._hit_rows: frozenset[int] = frozenset()
        self._hit = -1
        self._moving = False

    # -- content

    def show(
        self, build: Callable[[int], Sequence[Line]], *, reset: bool = False, end: bool = True
    ) -> None:
        """Show the result of `build(width)`.

        `reset` starts at the end if the view follows it and `end` is true, otherwise at the top.
        """
        self._build = build
        self._built_for = -1
        self._rebuild(reset, end)

    @property
    def room(self) -> int:
        """Cells of a row; the scrollbar's are left out whether it is shown or not."""
        return self.content_region.width - self.styles.scrollbar_size_vertical

    def _rebuild(self, reset: bool = False, end: bool = True) -> None:
        width = self.room
        if width <= 0:
            return
        old = self._lines
        new = self._build(width)
        self._lines, self._built_for = new, width
        if self._search:
            self._find()
        added = len(new) - len(old)
        self._take_size(
            Size(
                self._widest(new) if self.styles.overflow_x != "hidden" else width,
                len(new),
            )
        )
        if reset:
            self.following = self._follow and end
            self.unseen = 0
            self._scroll(0)
        if self.following and not self._leaving:
            self.unseen = 0
            self._scroll(self.max_scroll_y)
            self.call_after_refresh(self._pin)
        elif self._follow and added > 0 and not reset:
            self.unseen += added
            self.post_message(self.FollowChanged())
        top, height = self.scroll_offset.y, self.size.height
        if reset or (self.following and added):
            self.refresh()
            return
        for y in range(height):
            i = top + y
            before = old[i] if i < len(old) else BLANK
            after = new[i] if i < len(new) else BLANK
            if before != after:
                self.refresh(Region(0, y, self.size.width, 1))

    def _widest(self, rows: Sequence[Line]) -> int:
        """Cells of the widest of the first rows."""
        return max((row.width for row in rows[:2000]), default=0)

    def _take_size(self, size: Size) -> None:
        """Take the size of the text.

        The screen is laid out anew only where this widget is as high as its text.
        """
        if size == self.virtual_size:
            return
        height = self.styles.height
        if height is not None and height.is_auto:
            self.virtual_size = size
        else:
            set_virtual_size(self, size)

    def _pin(self) -> None:
        """Scroll to the end again after the layout was updated."""
        if self.following and not self._leaving and self.scroll_offset.y != self.max_scroll_y:
            self._scroll(self.max_scroll_y)

    @property
    def _leaving(self) -> bool:
        """True if a key has scrolled up and the layout is not updated yet: it must not be
        undone."""
        return self.scroll_target_y < self.scroll_y

    def _scroll(self, y: float) -> None:
        self._moving = True
        self.scroll_to(y=y, animate=False, force=True, immediate=True)
        self._moving = False

    @property
    def lines(self) -> Sequence[Line]:
        return self._lines

    def on_resize(self, event: events.Resize) -> None:
        if self.room != self._built_for:
            self._rebuild()
            self.refresh()
        elif self.following:
            self._scroll(self.max_scroll_y)

    def plain_rows(self) -> list[str]:
        """The text for copying, without gutters: all of it, or the first `COPY_ROWS`."""
        return [row.plain[row.gutter :].rstrip() for row in self._lines[:COPY_ROWS]]

    # -- following the end

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow again at the end; stop when the person scrolls up."""
        super().watch_scroll_y(old_value, new_value)
        if not self._follow or self._moving:
            return
        at_end = round(new_value) >= self.max_scroll_y
        if at_end != self.following:
            self.following = at_end
            if at_end:
                self.unseen = 0
            self.post_message(self.FollowChanged())

    def action_scroll_end(self) -> None:
        """To the end; follows it from here on, where this view follows at all."""
        self._scroll(self.max_scroll_y)
        if self._follow and not self.following:
            self.following, self.unseen = True, 0
            self.post_message(self.FollowChanged())

    def action_scroll_home(self) -> None:
        self.scroll_to(y=0, animate=False, force=True)

    # -- search

    def search(self, text: str) -> int:
        """Mark the rows that hold `text` (case does not matter); returns how many."""
        self._search = text.casefold()
        self._find()
        self._hit = -1
        if self._hits:
            self.next_hit(1)
        self.refresh()
        return len(self._hits)

    @property
    def searched(self) -> bool:
        """Whether rows that hold a text are marked."""
        return bool(self._search)

    def _find(self) -> None:
        needle = self._search
        self._hits = (
            [i for i, row in enumerate(self._lines) if needle in row.plain.casefold()]
            if needle
            else []
        )
        self._hit_rows = frozenset(self._hits)

    def next_hit(self, way: int) -> tuple[int, int]:
        """Go to the next (1) or previous (-1) hit; returns (its number from 1, how many)."""
        if not self._hits:
            return 0, 0
        self._hit = (self._hit + way) % len(self._hits)
        self._scroll(max(0, self._hits[self._hit] - self.size.height // 3))
        self.refresh()
        return self._hit + 1, len(self._hits)

    # -- painting

    def row(self, index: int) -> Line:
        return self._lines[index] if 0 <= index < len(self._lines) else BLANK

    def over(self, index: int) -> str:
        """A role laid over a whole row, such as the cursor."""
        if self._search and self._hits:
            if 0 <= self._hit < len(self._hits) and self._hits[self._hit] == index:
                return "cursor"
            if index in self._hit_rows:
                return "match"
        return ""

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        index = y + scroll_y
        width = self.size.width
        row = self.row(index)
        strip = self.paint(row, width, self.over(index), scroll_x)
        selection = self.text_selection
        if selection is not None:
            span = selection.get_span(index)
            if span is not None:
                start, end = span
                span = max(0, start - scroll_x), end if end == -1 else max(0, end - scroll_x)
                strip = self._selected(strip, span, row.gutter, width)
        return strip.apply_offsets(scroll_x, index)

    def _selected(self, strip: Strip, span: tuple[int, int], gutter: int, width: int) -> Strip:
        start, end = span
        start = max(start, gutter)
        end = width if end == -1 else end
        if end <= start:
            return strip
        style = self.screen.get_component_rich_style("screen--selection")
        mark = Style(color=style.color, bgcolor=style.bgcolor)
        middle = strip.crop(start, end)  # nothing of it where the row is shorter by now
        painted = Strip([Segment(s.text, (s.style or Style()) + mark) for s in middle])
        return Strip.join([strip.crop(0, start), painted, strip.crop(end)])

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        out = []
        first = selection.start.y if selection.start is not None else 0
        last = selection.end.y if selection.end is not None else len(self._lines) - 1
        for y in range(first, min(last + 1, len(self._lines), first + COPY_ROWS)):
            span = selection.get_span(y)
            if span is None:
                continue
            start, end = span
            row = self.row(y)
            text = row.plain
            end = len(text) if end == -1 else end
            out.append(text[max(start, row.gutter) : end].rstrip())
        return "\n".join(out), "\n"
