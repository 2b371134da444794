"""Texts of any length, read by offsets: a hundred megabytes of log in a few megabytes of memory.

A text comes in chunks, from a thread, into an unlinked temporary file (a text that is in memory
already stays there). It is cut into blocks of about 64 KiB that begin at a row; of each block only
the offset and the number of its first row are kept. A row is a line, or a piece of `ROW` bytes of
a longer one. Whatever is shown of it must pass through `text.clean`.

A text may grow: an empty chunk says that this is all for now, and what is not a block yet is shown
as rows, too, until there is more.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

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
    for line in lines:
        for piece in _pieces(line):
            out.append(offset)
            offset += len(piece)
        offset += 1
    return out


def _text_rows(data: bytes, inside: bool, open_end: bool) -> Iterator[TextRow]:
    """The rows of a block that begins within a line (`inside`) or ends within one (`open_end`)."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for i, line in enumerate(lines):
        pieces = list(_pieces(line))
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
