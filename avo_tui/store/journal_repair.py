"""Mends the journal: cuts what a crash left half-written, and takes damaged lines out of parts.

Nothing that can be read is ever removed. What is taken out of a part is kept beside it, in files
with `.damaged` in their names, and events that are missing are looked for there.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from zlib import crc32

from avo_tui.store.appending import AppendFile
from avo_tui.store.errors import clear_errors
from avo_tui.store.files import open_own, read_regular, replace_file, set_aside, sync_folder
from avo_tui.store.journal import first_number, in_order
from avo_tui.store.journal_lines import (
    JournalLine,
    apart,
    parse_line,
    read_lines,
    with_checksum,
)
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import (
    CHUNK,
    LostBlock,
    packed_path,
    part_chunks,
    part_file,
    read_lines_of,
    read_part,
    unpack,
)

LONGEST_MENDED = 1 << 20
"""Bytes of the longest line in which one wrong bit is looked for; a second's work."""

_NUMBER = re.compile(rb'^\{"seq":\d+,')
_BEGIN = re.compile(rb'\{"seq":\d+,"at":"')
_POLYNOMIAL = 0xEDB88320
"""Of CRC-32, its bits in the order in which they are read."""


def cut_torn_tail(path: Path) -> str | None:
    """Cut off what follows the last event of a part; returns what was done, None if nothing was.

    A half-written line is dropped. Whole lines that are not events are moved to a file beside the
    part.
    """
    with clear_errors(path, "mend"), os.fdopen(open_own(path, os.O_RDWR), "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _end_of_events(path, size)
        if size == end:
            return None
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
        chosen = keep_sounder_form(path)
        if os.path.lexists(path):
            packed.unlink(missing_ok=True)  # it holds the same
            return chosen
        chunks = list(part_chunks(path))
        replace_file(path, b"".join(chunk for chunk in chunks if isinstance(chunk, bytes)))
        _drop_packed(path, damaged=any(isinstance(chunk, LostBlock) for chunk in chunks))
    return f"unpacked {packed.name}, which is the newest part of the journal"


def forms_differ(path: Path) -> bool:
    """Whether a part is there as lines and compressed, and the two differ. Raises OSError."""
    packed = packed_path(path)
    if not (path.is_file() and packed.is_file()):
        return False
    try:
        return read_regular(path) != unpack(read_regular(packed))
    except FileNotFoundError:  # removed just now
        return False


def keep_sounder_form(path: Path) -> str | None:
    """Where both forms of a part differ, move that with fewer events aside, the compressed one
    where they have as many; returns what was done, None if nothing was. Raises OSError."""
    packed = packed_path(path)
    if not forms_differ(path):
        return None
    plain_events = _events(read_regular(path))
    worse = path if _events(unpack(read_regular(packed))) > plain_events else packed
    aside = set_aside(worse)
    sync_folder(path.parent)
    return f"{path.name} and {packed.name} differ: {worse.name} is called {aside.name} now"


def _events(lines: bytes) -> int:
    """The number of different events in the lines of a part."""
    parsed = (parse_line(line, 0, 0) for line in lines.split(b"\n")[:-1])
    return len({line.seq for line in parsed if not line.problem})


def _drop_packed(path: Path, damaged: bool) -> None:
    """Remove the compressed form of a part whose lines were written; move a damaged one aside."""
    packed = packed_path(path)
    if damaged:
        set_aside(packed)
    else:
        packed.unlink(missing_ok=True)


# -- mending the whole journal


def mend_journal(layout: Layout) -> None:
    """Take out of the journal what is no event, and put in what is missing and can be found.

    Two engines that wrote at the same time leave a number twice; readers take the first event of
    each number, and this keeps the same one. Raises DiskTrouble or StoreError; a part that was not
    mended yet is then unchanged.
    """
    with clear_errors(layout.journal, "mend"):
        for part in layout.parts():
            keep_sounder_form(layout.part(part))
        _rename_in_order(layout)
        spare, expected = _Spare(layout), 1
        parts = layout.parts()
        for part, later in zip_longest(parts, parts[1:]):
            expected = _mend_part(layout, part, later, expected, spare)


def _rename_in_order(layout: Layout) -> None:
    """Give parts that stand in each other's place their names back.

    A kill in between leaves some with `.damaged` names, where their events are found again.
    """
    names = layout.parts()
    renamed = []
    for old, new in zip(in_order(layout, names), names, strict=True):
        if old != new:
            file, path = part_file(layout.part(old)), layout.part(new)
            form = file.name.removeprefix(layout.part(old).name)
            renamed.append((set_aside(file), path.with_name(path.name + form)))
    for aside, path in renamed:
        aside.rename(path)
    sync_folder(layout.journal)


class _Spare:
    """The events in what was once taken out of the journal, by number; read when first needed."""

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.journal

    @cached_property
    def lines(self) -> dict[int, bytes]:
        by_number: dict[int, bytes] = {}
        for path in sorted(self._folder.glob("*.damaged*")):
            with contextlib.suppress(OSError):
                for text in read_lines_of(path).split(b"\n"):
                    for piece in _pieces(text):
                        line = parse_line(piece, 0, 0)
                        if line.event is not None:
                            by_number.setdefault(line.seq, piece)
        return by_number

    def up_to(self, part: int) -> dict[int, bytes]:
        """Those of steps before the first of `part`."""
        return {
            number: line
            for number, line in self.lines.items()
            if (event := parse_line(line, 0, 0).event) is not None and event.step < part
        }


def _mend_part(layout: Layout, part: int, later: int | None, expected: int, spare: _Spare) -> int:
    """Mend one part, whose first event should have the number `expected`; returns the number that
    the event after it must have. `later` is the next part. Raises OSError."""
    path = layout.part(part)
    good: list[bytes] = []
    bad: list[bytes] = []
    between: list[JournalLine] = []
    """What is no event of use, since the last one that is."""
    lost, end = False, 0
    for line in read_lines(path):
        end = line.end
        if line.text is None:
            lost = True
            continue
        if line.event is None or line.seq < expected:
            between.append(line)
            bad.append(line.text)
            continue
        if line.seq > expected:
            good += _found(expected, line.seq - 1, between, spare.lines)
        good.append(line.text)
        between, expected = [], line.seq + 1
    until = first_number(layout, later) if later is not None else None
    kept: Mapping[int, bytes] = {}
    if until is None:
        between = [line for line in between if line.problem]
        until = expected + len(between)
    elif later is not None and until > expected:  # the rest is looked for before the next part
        kept = spare.up_to(later)
    for text in _found(expected, until - 1, between, kept):
        good.append(text)
        expected = parse_line(text, 0, 0).seq + 1
    mended = b"".join(line + b"\n" for line in good) + _rest(path, end)
    if bad or lost or mended != read_part(path):
        if bad:
            _keep(path, b"".join(line + b"\n" for line in bad))
        if lost:
            set_aside(part_file(path))
        replace_file(path, mended)
        packed_path(path).unlink(missing_ok=True)
    return expected


def _rest(path: Path, end: int) -> bytes:
    """What follows the lines up to byte `end`: an append that is not whole yet."""
    return b"".join(chunk for chunk in part_chunks(path, end) if isinstance(chunk, bytes))


def _found(
    first: int, last: int, between: Iterable[JournalLine], spare: Mapping[int, bytes]
) -> list[bytes]:
    """Lines of the events `first` to `last`, which are missing, as far as they are found: mended
    from what stands in their place, or in `spare`."""
    pieces = [piece for line in between for piece in _pieces(line.text or b"")]
    alone = first if first == last and len(pieces) == 1 else None
    lines: dict[int, bytes] = {}
    for piece in pieces:
        for text in _perhaps(piece, alone):
            line = parse_line(text, 0, 0)
            if line.event is not None and first <= line.seq <= last:
                lines.setdefault(line.seq, text)
    if len(lines) <= last - first:
        missing = [n for n in spare if first <= n <= last and n not in lines]
        lines |= {number: spare[number] for number in missing}
    return [lines[number] for number in sorted(lines)]


def _pieces(line: bytes) -> list[bytes]:
    """The lines that a line was, where the newline between them was damaged: no text of an event
    holds the beginning of a line as it is, since its quotes are escaped there."""
    begins = [match.start() for match in _BEGIN.finditer(line)][1:]
    cuts = [0, *begins]
    return [line[a : b - 1] for a, b in zip(cuts, begins, strict=False)] + [line[cuts[-1] :]]


def _perhaps(line: bytes, number: int | None) -> Iterator[bytes]:
    """What a line may have been: itself, itself with the number of its place, or what differs from
    it in one bit and has the checksum that it says."""
    yield line
    if number is not None:
        yield _NUMBER.sub(b'{"seq":%d,' % number, line)
    body, checksum = apart(line)
    if checksum is not None and len(body) <= LONGEST_MENDED:
        difference = crc32(body) ^ checksum
        if any(difference & ~(0xF << digit) == 0 for digit in range(0, 32, 4)):
            yield with_checksum(body + b"}")  # of the checksum itself
        if (mended := _with_one_bit_changed(body, difference)) is not None:
            yield with_checksum(mended + b"}")


def _with_one_bit_changed(data: bytes, difference: int) -> bytes | None:
    """The bytes that differ from `data` in one bit and have a CRC-32 that differs by this; None
    where there are none. By how much a bit changes it depends on the bit's place alone."""
    change = _POLYNOMIAL  # of the last bit
    for bit in range(8 * len(data) - 1, -1, -1):
        if change == difference:
            mended = bytearray(data)
            mended[bit >> 3] ^= 1 << (bit & 7)
            return bytes(mended)
        change = (change >> 1) ^ (_POLYNOMIAL if change & 1 else 0)
    return None
