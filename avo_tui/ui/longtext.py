"""Texts of any length, read by offsets: a hundred megabytes of log in a few megabytes of memory.

A text comes in chunks, from a thread, into an unlinked temporary file (a text that is in memory
already stays there). It is cut into blocks of about 64 KiB that begin at a row; of each block only
the offset and the number of its first row are kept. A row is a line, or a piece of `ROW` bytes of
a longer one. Whatever is shown of it must pass through `text.clean`.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

BLOCK = 1 << 16
ROW = 1 << 12
"""Most bytes of one row."""
CACHED_BLOCKS = 24
MOST_HITS = 200_000
WAIT_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class TextRow:
    """One row: a line, or a piece of one."""

    text: str
    goes_on: bool = False
    """The line goes on in the next row."""
    continued: bool = False
    """The line began in an earlier row."""


class LongText:
    """Rows of a text that is still being read, or has been. Reading and showing may be in two
    threads; one writes (`fill`), any number read."""

    def __init__(self, memory: bytes | None = None) -> None:
        """Of what is in memory already; or of chunks that `fill` will bring."""
        self._memory = memory
        self._file: IO[bytes] | None = None
        self._starts = array("Q")
        self._ends = array("Q")
        self._firsts = array("Q")
        self._inside = bytearray()
        """1 where a block begins within a line."""
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, list[TextRow]] = OrderedDict()
        self._end = 0
        self._pending = b""
        self._pending_inside = False
        self.rows = 0
        """Rows that are known so far."""
        self.size = 0
        """Bytes that were read so far."""
        self.widest = 0
        """Most bytes in one row."""
        self.done = False
        self.problem = ""
        """Why it could not be read to its end."""
        self._closed = False

    # -- reading it in

    def fill(self, chunks: Iterable[bytes] | None = None) -> None:
        """Read everything and find the rows: for a thread. Errors end up in `problem`."""
        try:
            for chunk in self._kept(chunks):
                self._add(chunk)
                if self._closed:
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
            for at in range(0, len(self._memory), 1 << 20):
                yield self._memory[at : at + (1 << 20)]
            return
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        for chunk in chunks:
            self._file.write(chunk)
            self._file.flush()
            yield chunk

    def _add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        data = self._pending + chunk
        at = 0
        while len(data) - at >= BLOCK:
            cut = data.rfind(b"\n", at, at + BLOCK) + 1
            whole = cut > at
            if not whole:
                cut = at + _piece_end(data, at, BLOCK)
            self._block(data[at:cut], self._pending_inside)
            self._pending_inside = not whole
            at = cut
        self._pending = data[at:]

    def _flush(self) -> None:
        if self._pending:
            self._block(self._pending, self._pending_inside)
            self._pending = b""

    def _block(self, data: bytes, inside: bool) -> None:
        """Note a block. Readers see its rows once `rows` says that they are there."""
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
        self._firsts.append(self.rows)
        self._inside.append(inside)
        self._starts.append(start)  # the last: a reader goes by how many starts there are
        self.widest = max(self.widest, min(longest, ROW))
        self.rows += rows

    def close(self) -> None:
        """Give the temporary file back. A `fill` that is running ends."""
        self._closed = True
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
        block = bisect_right(self._firsts, index) - 1
        with self._lock:
            found = self._cache.get(block)
            if found is None:
                found = self._cache[block] = self._rows_of(block)
                if len(self._cache) > CACHED_BLOCKS:
                    self._cache.popitem(last=False)
            else:
                self._cache.move_to_end(block)
        at = index - self._firsts[block]
        return found[at] if at < len(found) else TextRow("")

    def _bytes(self, start: int, end: int) -> bytes:
        if self._memory is not None:
            return self._memory[start:end]
        return os.pread(self._file.fileno(), end - start, start) if self._file is not None else b""

    def _span(self, block: int) -> tuple[int, int]:
        return self._starts[block], self._ends[block]

    def _rows_of(self, block: int) -> list[TextRow]:
        data = self._bytes(*self._span(block))
        open_end = block + 1 < len(self._inside) and bool(self._inside[block + 1])
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        out: list[TextRow] = []
        for i, line in enumerate(lines):
            pieces = list(_pieces(line))
            for k, piece in enumerate(pieces):
                last = k == len(pieces) - 1
                goes_on = not last or (open_end and i == len(lines) - 1)
                continued = k > 0 or (i == 0 and bool(self._inside[block]))
                text = piece.decode("utf-8", "replace")
                out.append(
                    TextRow(text if goes_on else text.removesuffix("\r"), goes_on, continued)
                )
        return out

    # -- search

    def search(self, needle: str, stopped: Callable[[], bool]) -> Iterator[tuple[float, list[int]]]:
        """(share that was looked through, rows that hold `needle`), block by block.

        Case does not matter. What is cut at the end of a row is found where `needle` is ASCII.
        Waits for what is still being read; `stopped` ends it.
        """
        block = 0
        while not stopped():
            done, known = self.done, len(self._starts)
            if block >= known - (not done):  # whether a line goes on is known with the next block
                if done:
                    return
                time.sleep(WAIT_SECONDS)
                continue
            found = self._search_block(block, needle)
            block += 1
            yield block / known, found

    def _search_block(self, block: int, needle: str) -> list[int]:
        first = self._firsts[block]
        start, end = self._span(block)
        if not needle.isascii():
            folded = needle.casefold()
            rows = self._rows_of(block)
            return [first + i for i, row in enumerate(rows) if folded in row.text.casefold()]
        wanted = needle.lower().encode()
        over = block + 1 < len(self._inside) and bool(self._inside[block + 1])
        data = self._bytes(start, end + (len(wanted) - 1 if over else 0)).lower()
        at = data.find(wanted)
        if at < 0:
            return []
        begins = self._begins(data[: end - start])
        out: list[int] = []
        while 0 <= at < end - start:
            row = bisect_right(begins, at) - 1
            out.append(first + row)
            after = begins[row + 1] if row + 1 < len(begins) else end - start
            at = data.find(wanted, after)
        return out

    @staticmethod
    def _begins(data: bytes) -> list[int]:
        """Where the rows of a block begin."""
        out, at = [], 0
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            for piece in _pieces(line):
                out.append(at)
                at += len(piece)
            at += 1
        return out


def _pieces(line: bytes) -> Iterator[bytes]:
    """A line in rows; an empty one is one row. Characters stay whole."""
    if len(line) <= ROW:
        yield line
        return
    at = 0
    while at < len(line):
        end = at + _piece_end(line, at, ROW)
        yield line[at:end]
        at = end


def _piece_end(data: bytes, at: int, length: int) -> int:
    """At most `length` bytes from `at` on that do not end within a character of UTF-8."""
    if at + length >= len(data):
        return len(data) - at
    for back in range(4):
        if data[at + length - back] & 0xC0 != 0x80:
            return length - back
    return length  # not UTF-8: cut anywhere
