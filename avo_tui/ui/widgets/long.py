"""Texts of any length, read by offsets: a hundred megabytes of log in a few megabytes of memory."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import IO, NamedTuple

from textual.geometry import Size
from textual.message import Message
from textual.timer import Timer
from textual.worker import Worker, get_current_worker

from avo_tui.store.files import open_regular
from avo_tui.ui import formats
from avo_tui.ui.text import BLANK, Line, clean, line
from avo_tui.ui.widgets.lines import LinesView, Rows

ROW = 1 << 12
"""Largest number of bytes of one row."""
STRIDE = 64
"""Rows from one whose place is kept to the next."""
SEARCHED = 16 * STRIDE
"""Rows that are searched at a time."""
MOST_HITS = 200_000
WAIT_SECONDS = 0.02
POLL_SECONDS = 0.2
"""Seconds between two requests for more of a text that grows."""


def rows_of(data: bytes) -> Iterator[re.Match[bytes]]:
    """The rows of bytes that begin with one: lines, long ones in pieces that end with a character
    of UTF-8."""
    return re.finditer(rb"[^\n]{1,%d}[\x80-\xbf]{0,3}\n?|\n" % (ROW - 3), data)


class TextRow(NamedTuple):
    """One row: a line, or a piece of one."""

    text: str
    continued: bool = False
    """True if the line began in an earlier row."""


class LongText:
    """The rows of a text, also while it is still being read: one thread writes (`fill`), any number
    read."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._starts = array("Q")
        """Where each `STRIDE`th row begins."""
        self._rest = b""
        """The last row, if its line has not ended yet."""
        self._lock = threading.Lock()
        self._read: tuple[int, int, list[TextRow]] = (0, 0, [])
        """The rows that were read last, the first of their numbers, and the size known then."""
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

    def fill(self, chunks: Iterable[bytes]) -> None:
        """Read everything and find the rows: for a thread. Errors end up in `problem`."""
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            for chunk in chunks:
                self.caught_up = not chunk
                if chunk:
                    self._file.write(chunk)
                    self._file.flush()
                    self._add(chunk)
                else:
                    self._stop.wait(POLL_SECONDS)
                if self._stop.is_set():
                    return
        except Exception as error:  # shown with the text, whatever it was
            self.problem = str(error).strip("'\"") or type(error).__name__
        finally:
            self.done = True

    def _add(self, chunk: bytes) -> None:
        data, begin = self._rest + chunk, self.size - len(self._rest)
        rows = self.rows - bool(self._rest)  # the row that has not ended is found again
        starts = [match.start() for match in rows_of(data)]
        new = starts[len(self._starts) * STRIDE - rows :: STRIDE]
        self._rest = b"" if data.endswith(b"\n") else data[starts[-1] :]
        self.widest = max(self.widest, *(b - a for a, b in pairwise([*starts, len(data)])))
        self.size += len(chunk)
        self._starts.extend([begin + start for start in new])
        self.rows = rows + len(starts)  # the last: readers go by it

    def close(self) -> None:
        """Give the temporary file back. A `fill` that is running ends."""
        self._stop.set()
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    # -- rows

    def row(self, index: int) -> TextRow:
        """One row. Raises IndexError for one that is not known."""
        if not 0 <= index < self.rows:
            raise IndexError(index)
        first, size, rows = self._read
        if size != self.size or not first <= index < first + len(rows):
            first, size = index // STRIDE * STRIDE, self.size
            rows = list(self._text_rows(first))
            self._read = first, size, rows
        return rows[index - first] if index - first < len(rows) else TextRow("")

    def _text_rows(self, first: int) -> Iterator[TextRow]:
        begin = self._starts[first // STRIDE]
        continued = begin > 0 and self._bytes(begin - 1, begin) != b"\n"
        data = self._between(first, first + STRIDE)
        for match in rows_of(data):
            row = match.group()
            ends = row.endswith(b"\n") or begin + match.end() == self.size
            text = row.removesuffix(b"\n").decode("utf-8", "replace")
            yield TextRow(text.removesuffix("\r") if ends else text, continued)
            continued = not ends

    def _between(self, first: int, last: int, over: int = 0) -> bytes:
        """The bytes of the rows from `first` to before `last`, and `over` more."""
        block, after = first // STRIDE, last // STRIDE
        end = self._starts[after] if after < len(self._starts) else self.size
        return self._bytes(self._starts[block], end + over)

    def _bytes(self, start: int, end: int) -> bytes:
        with self._lock:
            file = self._file
            return os.pread(file.fileno(), end - start, start) if file is not None else b""

    # -- search

    def search(self, needle: str, stopped: Callable[[], bool]) -> Iterator[tuple[float, list[int]]]:
        """(share that was looked through, rows in which `needle` begins), in order.

        Case does not matter. What is cut at the end of a row is found where `needle` is ASCII.
        Waits for what is still being read, not for what may come; `stopped` ends it.
        """
        first = 0
        while not stopped():
            ended, rows = self.done or self.caught_up, self.rows
            if first + SEARCHED + 1 < rows or (ended and first < rows):
                hits = self._hits(first, needle)
                first += SEARCHED
                yield min(1.0, first / rows), hits
            elif ended:
                return
            else:
                time.sleep(WAIT_SECONDS)

    def _hits(self, first: int, needle: str) -> list[int]:
        """Which of the `SEARCHED` rows from `first` on hold the beginning of `needle`."""
        whole = self._between(first, first + SEARCHED)
        if not needle.isascii():
            holding = (needle.casefold() in m.group().decode("utf-8", "replace").casefold()
                     for m in rows_of(whole))  # fmt: skip
        else:
            wanted, over = needle.lower().encode(), len(needle) - 1
            data = self._between(first, first + SEARCHED, over).lower()
            if wanted not in data:
                return []
            holding = (data.find(wanted, m.start(), m.end() + over) >= 0 for m in rows_of(whole))
        return [number for number, holds in enumerate(holding, first) if holds]


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


class LongRows(Rows):
    """Some lines, and below them a text that may still be read in."""

    def __init__(self, head: Sequence[Line], text: LongText) -> None:
        self.head, self.text = list(head), text

    @property
    def widest(self) -> int:
        """About the cells of the widest row."""
        return max(max((row.width for row in self.head), default=0), self.text.widest + 2)

    def __len__(self) -> int:
        return len(self.head) + self.text.rows + bool(self.text.problem)

    def at(self, index: int) -> Line:
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

    @dataclass
    class Searched(Message):
        """More hits of a search, or its end."""

        count: int
        share: float
        done: bool

        @property
        def said(self) -> str:
            many = "more than " if self.count >= MOST_HITS else ""
            hits = f"{many}{formats.many(self.count, 'hit')}"
            return f"{hits} · n next" if self.done else f"{hits} · {self.share:.0%} looked through"

    class Grown(Message):
        """More of the text was read in, or its end."""

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
            self.on_unmount()
            text = LongText()
            self._held = log, text
            self.run_worker(
                lambda: text.fill([log.encode("utf-8", "replace")]),
                thread=True,
                group="fill",
                exclusive=True,
                exit_on_error=False,
            )
        return self._held[1]

    def on_unmount(self) -> None:
        """Remove the temporary file of a text that was in memory."""
        if self._held is not None:
            self._held[1].close()

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
        self.post_message(self.Grown())

    def action_scroll_end(self) -> None:
        """To the end of what is known, and on until all of it is."""
        self._wants_end = self.long is not None and not self.long.done and not self._follow
        super().action_scroll_end()

    def action_scroll_up(self) -> None:
        self._wants_end = False
        super().action_scroll_up()

    def action_page_up(self) -> None:
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
        self.post_message(self.Searched(len(self._hits), share, done))

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
