"""Texts of any length, read by offsets: a hundred megabytes of log in a few megabytes of memory."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, overload

from textual.geometry import Size
from textual.message import Message
from textual.timer import Timer
from textual.worker import Worker, get_current_worker

from avo_tui.store.files import open_regular
from avo_tui.ui import formats
from avo_tui.ui.text import BLANK, Line, clean, line
from avo_tui.ui.widgets.lines import LinesView

BLOCK = 1 << 16
ROW = 1 << 12
"""Largest number of bytes of one row."""
CACHED_BLOCKS = 24
MOST_HITS = 200_000
WAIT_SECONDS = 0.02
POLL_SECONDS = 0.2
"""Seconds between two requests for more of a text that grows."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """One row: a line, or a piece of one."""

    text: str
    goes_on: bool = False
    """True if the line continues in the next row."""
    continued: bool = False
    """True if the line began in an earlier row."""


@dataclass(frozen=True, slots=True)
class _Tail:
    """The end of a growing text that does not fill a block yet."""

    first: int = 0
    """Number of its first row."""
    data: bytes = b""
    rows: tuple[TextRow, ...] = ()


class LongText:
    """The rows of a text, also while it is still being read.

    Reading and showing may happen in different threads: one thread writes (`fill`), any number
    read.
    """

    def __init__(self, memory: bytes | None = None) -> None:
        """`memory` is a text that is already in memory; otherwise `fill` provides the text."""
        self._memory = memory
        self._file: IO[bytes] | None = None
        self._starts = array("Q")
        self._ends = array("Q")
        self._firsts = array("Q")
        self._inside = bytearray()
        """For each block: 1 if it begins within a line, otherwise 0."""
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, list[TextRow]] = OrderedDict()
        self._end = 0
        self._pending = b""
        self._pending_inside = False
        self._known = 0
        """Rows in blocks."""
        self._tail = _Tail()
        self._stop = threading.Event()
        self.rows = 0
        """Number of rows known so far."""
        self.size = 0
        """Number of bytes read so far."""
        self.widest = 0
        """Most bytes in one row."""
        self.done = False
        self.caught_up = False
        """True if all available text was read; more may follow."""
        self.problem = ""
        """Why it could not be read to its end."""

    # -- reading it in

    def fill(self, chunks: Iterable[bytes] | None = None) -> None:
        """Read everything and find the rows: for a thread. Errors end up in `problem`."""
        try:
            for chunk in self._kept(chunks):
                if chunk:
                    self.caught_up = False
                    self._add(chunk)
                else:
                    self._show_tail()
                    self._stop.wait(POLL_SECONDS)
                if self._stop.is_set():
                    return
            self._flush()
        except Exception as error:  # shown with the text, whatever it was
            self._flush()
            self.problem = str(error).strip("'\"") or type(error).__name__
        finally:
            self._pending = b""
            self.done = True

    def _kept(self, chunks: Iterable[bytes] | None) -> Iterator[bytes]:
        """The chunks, once they can be read again from where they are kept."""
        if chunks is None:
            assert self._memory is not None
            for offset in range(0, len(self._memory), 1 << 20):
                yield self._memory[offset : offset + (1 << 20)]
            return
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        for chunk in chunks:
            if chunk:
                self._file.write(chunk)
                self._file.flush()
            yield chunk

    def _add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        data = self._pending + chunk
        offset = 0
        while len(data) - offset >= BLOCK:
            cut = data.rfind(b"\n", offset, offset + BLOCK) + 1
            whole = cut > offset
            if not whole:
                cut = offset + _piece_end(data, offset, BLOCK)
            self._block(data[offset:cut], not whole)
            offset = cut
        self._pending = data[offset:]

    def _flush(self) -> None:
        if self._pending:
            self._block(self._pending, False)
            self._pending = b""

    def _show_tail(self) -> None:
        """Everything is in blocks but the end: have it as rows as well."""
        if self._pending and self._pending != self._tail.data:
            rows = tuple(_text_rows(self._pending, self._pending_inside, False))
            self._tail = _Tail(self._known, self._pending, rows)
            self.widest = max(self.widest, min(ROW, max(map(len, self._pending.split(b"\n")))))
            self.rows = max(self.rows, self._known + len(rows))
        self.caught_up = True

    def _block(self, data: bytes, goes_on: bool) -> None:
        """Note a block. Readers see its rows once `rows` says that they are there.

        `goes_on`: its last line goes on in the next one.
        """
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        rows = len(lines)
        longest = max(map(len, lines), default=0)
        if longest > ROW:
            rows = sum(sum(1 for _ in _pieces(line)) for line in lines)
        start = self._end
        self._end += len(data)
        self._ends.append(self._end)
        self._firsts.append(self._known)
        self._inside.append(self._pending_inside)
        self._pending_inside = goes_on
        self._starts.append(start)  # the last: a reader goes by how many starts there are
        self.widest = max(self.widest, min(longest, ROW))
        self._known += rows
        self.rows = max(self.rows, self._known)

    def close(self) -> None:
        """Give the temporary file back. A `fill` that is running ends."""
        self._stop.set()
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            self._cache.clear()

    # -- rows

    def row(self, index: int) -> TextRow:
        """One row. Raises IndexError for one that is not known."""
        if not 0 <= index < self.rows:
            raise IndexError(index)
        if index >= self._known:
            tail = self._tail
            position = index - tail.first
            return tail.rows[position] if 0 <= position < len(tail.rows) else TextRow("")
        block = bisect_right(self._firsts, index) - 1
        with self._lock:
            block_rows = self._cache.get(block)
            if block_rows is None:
                block_rows = self._cache[block] = self._rows_of(block)
                if len(self._cache) > CACHED_BLOCKS:
                    self._cache.popitem(last=False)
            else:
                self._cache.move_to_end(block)
        position = index - self._firsts[block]
        return block_rows[position] if position < len(block_rows) else TextRow("")

    def _bytes(self, start: int, end: int) -> bytes:
        if self._memory is not None:
            return self._memory[start:end]
        return os.pread(self._file.fileno(), end - start, start) if self._file is not None else b""

    def _span(self, block: int) -> tuple[int, int]:
        return self._starts[block], self._ends[block]

    def _rows_of(self, block: int) -> list[TextRow]:
        data = self._bytes(*self._span(block))
        return list(_text_rows(data, bool(self._inside[block]), self._goes_on(block)))

    def _goes_on(self, block: int) -> bool:
        """Whether the last line of a block goes on in the next."""
        after = block + 1
        return bool(self._inside[after]) if after < len(self._inside) else self._pending_inside

    # -- search

    def search(self, needle: str, stopped: Callable[[], bool]) -> Iterator[tuple[float, list[int]]]:
        """(share that was looked through, rows that hold `needle`), block by block.

        Case does not matter. What is cut at the end of a row is found where `needle` is ASCII.
        Waits for what is still being read, not for what may come; `stopped` ends it.
        """
        block = 0
        while not stopped():
            ended, tail, known = self.done or self.caught_up, self._tail, len(self._starts)
            if block >= known - (not ended):  # whether a line goes on is known with the next block
                if ended:
                    if tail.first == self._known:
                        yield 1.0, self._search_tail(tail, needle)
                    return
                time.sleep(WAIT_SECONDS)
                continue
            matches = self._search_block(block, needle)
            block += 1
            yield block / known, matches

    def _search_block(self, block: int, needle: str) -> list[int]:
        first = self._firsts[block]
        start, end = self._span(block)
        if not needle.isascii():
            return _rows_with(self._rows_of(block), needle, first)
        over = len(needle) - 1 if self._goes_on(block) else 0
        return _hits(self._bytes(start, end + over), end - start, needle, first)

    @staticmethod
    def _search_tail(tail: _Tail, needle: str) -> list[int]:
        if not needle.isascii():
            return _rows_with(tail.rows, needle, tail.first)
        return _hits(tail.data, len(tail.data), needle, tail.first)


def _rows_with(rows: Sequence[TextRow], needle: str, first: int) -> list[int]:
    folded = needle.casefold()
    return [first + i for i, row in enumerate(rows) if folded in row.text.casefold()]


def _hits(data: bytes, length: int, needle: str, first: int) -> list[int]:
    """Rows of the first `length` bytes in which `needle` begins, numbered from `first` on."""
    wanted, data = needle.lower().encode(), data.lower()
    offset = data.find(wanted)
    if offset < 0:
        return []
    begins = _begins(data[:length])
    out: list[int] = []
    while 0 <= offset < length:
        row = bisect_right(begins, offset) - 1
        out.append(first + row)
        after = begins[row + 1] if row + 1 < len(begins) else length
        offset = data.find(wanted, after)
    return out


def _begins(data: bytes) -> list[int]:
    """Where the rows of a block begin."""
    out, offset = [], 0
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for row in lines:
        for piece in _pieces(row):
            out.append(offset)
            offset += len(piece)
        offset += 1
    return out


def _text_rows(data: bytes, inside: bool, open_end: bool) -> Iterator[TextRow]:
    """The rows of a block that begins within a line (`inside`) or ends within one (`open_end`)."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for i, row in enumerate(lines):
        pieces = list(_pieces(row))
        for k, piece in enumerate(pieces):
            goes_on = k < len(pieces) - 1 or (open_end and i == len(lines) - 1)
            continued = k > 0 or (i == 0 and inside)
            text = piece.decode("utf-8", "replace")
            yield TextRow(text if goes_on else text.removesuffix("\r"), goes_on, continued)


def _pieces(line: bytes) -> Iterator[bytes]:
    """A line in rows; an empty one is one row. Characters stay whole."""
    if len(line) <= ROW:
        yield line
        return
    offset = 0
    while offset < len(line):
        end = offset + _piece_end(line, offset, ROW)
        yield line[offset:end]
        offset = end


def _piece_end(data: bytes, at: int, length: int) -> int:
    """At most `length` bytes from `at` on that do not end within a character of UTF-8."""
    if at + length >= len(data):
        return len(data) - at
    for back in range(4):
        if data[at + length - back] & 0xC0 != 0x80:
            return length - back
    return length  # not UTF-8: cut anywhere


LONG = 200_000
"""Characters from which a log is read by offsets."""
MARK = "↪ "


def log_line(row: str) -> Line:
    """A line of a compiler's log, with errors and warnings told apart."""
    low = row[:400].lower()
    if "error" in low:
        return line(("✕ ", "bad"), row, gutter=2) if "error:" in low else line((row, "bad"))
    if "warning" in low:
        return line(("! ", "warn"), row, gutter=2) if "warning:" in low else line((row, "warn"))
    return line((row, "dim"))


class LongRows(Sequence[Line]):
    """Some lines, and below them a text that may still be read in."""

    def __init__(self, head: Sequence[Line], text: LongText) -> None:
        self.head, self.text = list(head), text

    @property
    def widest(self) -> int:
        """About the cells of the widest row."""
        return max(max((row.width for row in self.head), default=0), self.text.widest + 2)

    def __len__(self) -> int:
        return len(self.head) + self.text.rows + bool(self.text.problem)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < len(self.head):
            return self.head[index]
        row_index = index - len(self.head)
        if row_index >= self.text.rows:
            return line((self.text.problem, "bad")) if self.text.problem else BLANK
        row = self.text.row(row_index)
        if row.continued:
            return line((MARK, "faint"), (clean(row.text), "dim"), gutter=2)
        return log_line(clean(row.text))


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
        if self.long is None:
            return super().over(index)
        hit_index = bisect_left(self._hits, index)
        if not self._search or hit_index >= len(self._hits) or self._hits[hit_index] != index:
            return ""
        return "cursor" if hit_index == self._hit else "match"


CHUNK = 1 << 20
"""Bytes that are read at a time."""


def of_file(path: Path, *, follow: bool = False) -> Iterator[bytes]:
    """A file piece by piece; with `follow` also what is written to it from then on, for ever.

    Raises ValueError where it cannot be read.
    """
    try:
        with open_regular(path) as file:
            while (chunk := file.read(CHUNK)) or follow:
                if not chunk and file.tell() > path.stat().st_size:
                    file.seek(0)  # the file was replaced
                yield chunk
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise ValueError(f"this session has no {path.name} here") from error
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from error


def of_growing(log: Callable[[], tuple[str, bool]]) -> Iterator[bytes]:
    """A text piece by piece that is asked for again and again: (all of it, whether it is whole).

    Where it is another one than before, that one comes below.
    """
    before, whole = "", False
    while not whole:
        now, whole = log()
        if now.startswith(before):
            more = now[len(before) :]
        else:
            more = now if before.endswith("\n") else f"\n{now}"
        before = now
        if more:
            yield more.encode("utf-8", "replace")
        yield b""
