"""Mends the journal: cuts what a crash left half-written, and takes damaged lines out of parts.

Nothing that can be read is ever removed. What is taken out of a part is kept beside it, in files
with `.damaged` in their names, and events that are missing are looked for there.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from avo_tui.store.appending import AppendFile
from avo_tui.store.errors import clear_errors
from avo_tui.store.files import name_aside, open_own, replace_file, set_aside
from avo_tui.store.journal_lines import LONGEST_LINE, apart, parse_line, read_lines, with_checksum
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import (
    CHUNK,
    forms_differ,
    is_damaged,
    packed_path,
    part_chunks,
    part_status,
    read_lines_of,
    read_part,
)


def cut_torn_tail(path: Path) -> str | None:
    """Cut off what follows the last event of a part; returns what was done, None if nothing was.

    A half-written line is dropped. Whole lines that are not events are moved to a file beside the
    part, which is kept as a whole where they are very many.
    """
    with clear_errors(path, "mend"), os.fdopen(open_own(path, os.O_RDWR), "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _end_of_events(path, size)
        if size == end:
            return None
        if size - end > LONGEST_LINE:  # too much to be copied
            file.seek(0)
            replace_file(path, file.read(end), keep=name_aside(path))
        else:
            file.seek(end)
            tail = file.read()
            if b"\n" in tail:
                _keep(path, tail)
            file.truncate(end)
            os.fsync(file.fileno())
    return f"cut {size - end} bytes without a whole event from the end of {path.name}"


def _keep(path: Path, lines: bytes) -> None:
    """Append lines that are taken out of a part to the file `.damaged` beside it, durably."""
    kept = path.with_suffix(".damaged")
    if os.path.lexists(kept) and not stat.S_ISREG(kept.lstat().st_mode):
        set_aside(kept)
    file = AppendFile(kept)
    try:
        file.append(lines, durable=True)
    finally:
        file.close()


def _end_of_events(path: Path, size: int) -> int:
    """Offset after the last event.

    Looks at the end of the file first, where it nearly always is.
    """
    start = max(0, size - CHUNK)
    for first in (start, 0) if start else (0,):
        end = -1
        for line in read_lines(path, first):
            if not line.problem:
                end = line.end
        if end >= 0:
            return end
    return 0


def unpack_part(path: Path) -> str | None:
    """Make a compressed part a file of lines alone, so that it can be written; returns what was
    done, None if nothing was. Raises DiskTrouble or StoreError."""
    packed = packed_path(path)
    if not os.path.lexists(packed):
        return None
    with clear_errors(packed, "mend"):
        _replace_part(path, read_part(path), keep=forms_differ(path) or is_damaged(path))
    return f"unpacked {packed.name}, which is the newest part of the journal"


def _replace_part(path: Path, lines: bytes, *, keep: bool) -> None:
    """Make a part a file of these lines; `keep` what it was under another name."""
    packed = packed_path(path)
    replace_file(path, lines, keep=name_aside(path) if keep else None)
    if keep and os.path.lexists(packed):
        set_aside(packed)
    packed.unlink(missing_ok=True)


# -- mending the whole journal


def mend_journal(layout: Layout) -> None:
    """Write the parts anew with every event that can be read, in the order of their numbers.

    Two engines that wrote at the same time leave a number twice; readers take the first event of
    each number, and this keeps the same one. Events that are missing between others, or follow the
    last, are looked for in what was once taken out, and in the other form of a part that is there
    in both. Raises DiskTrouble or StoreError. A kill at any instant leaves each event where the
    next repair finds it.
    """
    with clear_errors(layout.journal, "mend"):
        parts = layout.parts()
        readable = _Readable()
        for part in parts:
            readable.read(layout.part(part))
        readable.look_in(_others(layout, parts))
        mended: dict[Path, list[int]] = {layout.part(part): [] for part in parts}
        current = 0
        for number in sorted(readable.events):
            while current + 1 < len(parts) and parts[current + 1] <= readable.events[number].step:
                current += 1
            mended[layout.part(parts[current])].append(number)
        # no event leaves its part before it is in the one where it belongs
        for path, numbers in mended.items():
            _write_part(path, sorted({*numbers, *readable.numbers[path]}), readable)
        for path, numbers in mended.items():
            if not readable.numbers[path] <= set(numbers):
                _write_part(path, numbers, readable)


class _Event(NamedTuple):
    step: int
    line: bytes


class _Readable:
    """What can be read of a journal, in whatever part or file it stands."""

    def __init__(self) -> None:
        self.events: dict[int, _Event] = {}
        self.numbers: dict[Path, set[int]] = defaultdict(set)
        """Part → numbers of the events that were read there."""
        self.bad: dict[Path, list[bytes]] = defaultdict(list)
        """Part → what stands there and is no event, or one whose number was met before."""
        self.too_long: set[Path] = set()
        """Parts with more behind their last event than is copied."""

    def read(self, path: Path) -> None:
        """Read one part. Raises OSError."""
        end = 0
        for line in read_lines(path):
            end = line.end
            if line.text is None:
                continue
            if line.event is None or line.seq in self.events:
                self.bad[path].append(line.text + b"\n")
            else:
                self.events[line.seq] = _Event(line.event.step, line.text)
                self.numbers[path].add(line.seq)
        # what follows is an append that is not whole
        if part_status(path).size - end > LONGEST_LINE:
            self.too_long.add(path)
            return
        rest = b"".join(chunk for chunk in part_chunks(path, end) if isinstance(chunk, bytes))
        if rest:
            self.bad[path].append(rest)

    def look_in(self, files: Iterable[Path]) -> None:
        """Add events that are missing between others or follow the last, where these files hold
        them."""
        elsewhere: dict[int, _Event] = {}
        for file in files:
            with contextlib.suppress(OSError):
                for text in read_lines_of(file).split(b"\n"):
                    line = parse_line(text, 0, 0)
                    if line.event is not None:
                        elsewhere.setdefault(line.seq, _Event(line.event.step, text))
        last = max(self.events, default=0)
        while last + 1 in elsewhere:  # a number that leaps is none that follows
            last += 1
        self.events = {n: e for n, e in elsewhere.items() if n <= last} | self.events


def _others(layout: Layout, parts: Iterable[int]) -> list[Path]:
    """Files that may hold events which no reader takes from there."""
    pairs = [(layout.part(part), packed_path(layout.part(part))) for part in parts]
    doubled = [path for pair in pairs if all(map(Path.is_file, pair)) for path in pair]
    return sorted(layout.journal.glob("*.damaged*")) + doubled


def _write_part(path: Path, numbers: list[int], readable: _Readable) -> None:
    """Make a part hold these events, unless it holds them and nothing else. Raises OSError.

    Each line has a checksum then, for without what stood between them numbers may seem to leap.
    """
    lines = [readable.events[number].line for number in numbers]
    whole = b"".join(line + b"\n" for line in lines)
    odd = forms_differ(path) or is_damaged(path) or path in readable.too_long
    if not odd and part_status(path).size == len(whole) and read_part(path) == whole:
        return
    if bad := readable.bad.pop(path, None):
        _keep(path, b"".join(bad))
    checked = [line if apart(line)[1] is not None else with_checksum(line) for line in lines]
    readable.too_long.discard(path)
    _replace_part(path, b"".join(line + b"\n" for line in checked), keep=odd)
