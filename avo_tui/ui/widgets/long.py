"""A view of a text of any length: reads what is displayed, searches in a thread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from time import monotonic

from textual.geometry import Size
from textual.message import Message
from textual.timer import Timer
from textual.worker import Worker, get_current_worker

from avo_tui.ui import formats
from avo_tui.ui.text import Line
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.log_rows import LongRows
from avo_tui.ui.widgets.long_text import MOST_HITS, LongText

GROW_SECONDS = 0.2
TELL_SECONDS = 0.1


class LongView(LinesView):
    """`show` may also be given `LongRows`; a search in them goes on in a thread."""

    class Searched(Message):
        """More hits of a search, or its end."""

        def __init__(self, view: LongView, count: int, share: float, done: bool) -> None:
            super().__init__()
            self.view, self.count, self.share, self.done = view, count, share, done

        @property
        def said(self) -> str:
            """For the find bar."""
            many = "more than " if self.count >= MOST_HITS else ""
            hits = f"{many}{formats.many(self.count, 'hit')}"
            return f"{hits} · n next" if self.done else f"{hits} · {self.share:.0%} looked through"

    class Grown(Message):
        """More of the text was read in, or its end."""

        def __init__(self, view: LongView, text: LongText) -> None:
            super().__init__()
            self.view, self.text = view, text

    def __init__(self, id: str | None = None, *, follow: bool = False) -> None:
        super().__init__(id=id, follow=follow)
        self._growing: Timer | None = None
        self._wants_end = False
        self._size_seen = 0
        self._read_once = False
        """True once the text that existed at opening was read; everything after that is new."""
        self._held: tuple[str, LongText] | None = None
        self._worker: Worker[None] | None = None

    @property
    def long(self) -> LongText | None:
        """The long text that is shown."""
        return self._lines.text if isinstance(self._lines, LongRows) else None

    # -- content

    def text_of(self, log: str) -> LongText:
        """A long text of what is in memory; the same one while `log` is the same."""
        if self._held is None or self._held[0] is not log:
            text = LongText(log.encode("utf-8", "replace"))
            self._held = log, text
            self.run_worker(
                text.fill, thread=True, group="fill", exclusive=True, exit_on_error=False
            )
        return self._held[1]

    def show(
        self, build: Callable[[int], Sequence[Line]], *, reset: bool = False, end: bool = True
    ) -> None:
        """As `LinesView.show`."""
        if reset:
            self._wants_end = False
        super().show(build, reset=reset, end=end)

    def _rebuild(self, reset: bool = False, end: bool = True) -> None:
        old = self._lines
        super()._rebuild(reset, end)
        if isinstance(old, LongRows) and self.long is old.text:
            moved = len(self._lines) - len(old)
            if moved and self._search:
                self._hits = [hit + moved for hit in self._hits]
        elif self._search and self.long is not None:
            self._begin_search()
        if self._growing is None and self.long is not None and not self.long.done:
            self._growing = self.set_interval(GROW_SECONDS, self._grow)

    def _widest(self, rows: Sequence[Line]) -> int:
        return rows.widest if isinstance(rows, LongRows) else super()._widest(rows)

    def _grow(self) -> None:
        text = self.long
        if text is None or text.done:
            assert self._growing is not None
            self._growing.stop()
            self._growing = None
        if text is None:
            return
        bottom = self.scroll_offset.y + self.size.height
        known = self.virtual_size.height
        at_end = self._wants_end or (self.following and not self._leaving)
        self._take_size(Size(self._widest(self._lines), len(self._lines)))
        if at_end:
            self._scroll(self.max_scroll_y)
        elif self._follow and self._read_once:
            self.unseen += len(self._lines) - known
        if known < bottom or at_end or text.size != self._size_seen:
            self.refresh()
        self._size_seen = text.size
        self._read_once = self._read_once or text.caught_up
        self.post_message(self.Grown(self, text))

    def action_scroll_end(self) -> None:
        """To the end of what is known, and on until all of it is."""
        self._wants_end = self.long is not None and not self.long.done and not self._follow
        super().action_scroll_end()

    def action_scroll_up(self) -> None:
        """One row up; the end is no longer wanted."""
        self._wants_end = False
        super().action_scroll_up()

    def action_page_up(self) -> None:
        """A page up; the end is no longer wanted."""
        self._wants_end = False
        super().action_page_up()

    # -- search

    def search(self, text: str) -> int:
        """As `LinesView.search`; of a long text the hits come with `Searched`."""
        if self._worker is not None:
            self._worker.cancel()
            self._worker = None
        if self.long is None:
            return super().search(text)
        self._search, self._hit = text.casefold(), -1
        self._hits = []
        self._hit_rows = frozenset()
        if text:
            self._begin_search()
        self.refresh()
        return len(self._hits)

    def _find(self) -> None:
        if self.long is None:
            super()._find()

    def _begin_search(self) -> None:
        rows, needle = self._lines, self._search
        assert isinstance(rows, LongRows)
        self._hits = [i for i, row in enumerate(rows.head) if needle in row.plain.casefold()]
        self._worker = self.run_worker(
            lambda: self._look(rows, needle),
            thread=True,
            group="search",
            exclusive=True,
            exit_on_error=False,
        )

    def _look(self, rows: LongRows, needle: str) -> None:
        """In a thread: the whole text, telling what was found ten times a second."""
        worker, told, hits = get_current_worker(), monotonic(), list[int]()
        for share, more in rows.text.search(needle, lambda: worker.is_cancelled):
            hits += more
            if monotonic() - told > TELL_SECONDS:
                told = monotonic()
                self.app.call_from_thread(self._found, rows, needle, hits, share, False)
                hits = []
        if not worker.is_cancelled:
            self.app.call_from_thread(self._found, rows, needle, hits, 1.0, True)

    def _found(
        self, rows: LongRows, needle: str, found: list[int], share: float, done: bool
    ) -> None:
        if self.long is not rows.text or needle != self._search:
            return
        assert isinstance(self._lines, LongRows)
        head = len(self._lines.head)
        room = MOST_HITS - len(self._hits)
        self._hits += [head + row for row in found[:room]]
        if self._hits and self._hit < 0:
            self.next_hit(1)
        self.refresh()
        self.post_message(self.Searched(self, len(self._hits), share, done))

    def next_hit(self, way: int) -> tuple[int, int]:
        """Go to the next or previous hit, and to its column in a long row."""
        hit_and_count = super().next_hit(way)
        if self._follow and hit_and_count[1]:
            self.watch_scroll_y(self.scroll_y, self.scroll_y)  # the end is left for a hit
        if hit_and_count[1] and self.long is not None:
            plain = self.row(self._hits[self._hit]).plain.casefold()
            column = max(0, plain.find(self._search))
            left, width = self.scroll_offset.x, self.size.width
            if not left <= column < left + width - len(self._search):
                self.scroll_to(x=max(0, column - width // 3), animate=False, force=True)
        return hit_and_count

    def over(self, index: int) -> str:
        """A hit, found in their order."""
        if self.long is None:
            return super().over(index)
        hit_index = bisect_left(self._hits, index)
        if not self._search or hit_index >= len(self._hits) or self._hits[hit_index] != index:
            return ""
        return "cursor" if hit_index == self._hit else "match"
