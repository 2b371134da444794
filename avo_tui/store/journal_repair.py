"""Takes out of a part of the journal what is not an event: half-written lines, doubled events."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from avo_tui.store.appending import AppendFile
from avo_tui.store.errors import clear_errors
from avo_tui.store.files import open_own, read_regular, replace_file, set_aside, sync_folder
from avo_tui.store.journal_lines import parse_line, read_lines
from avo_tui.store.packed_parts import CHUNK, LostBlock, packed_path, part_chunks, unpack


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


def drop_useless_lines(path: Path, expected: int) -> tuple[int, int]:
    """Remove from a part the lines that are no events, and events whose number occurred before.

    Removed lines are kept in a file `.damaged` beside the part. Two engines that wrote at the same
    time leave such a part; readers take the first event of each number, and this keeps the same
    one. `expected` is the number that the next event must have. Returns (lines removed, number that
    the event after the part must have). Raises DiskTrouble or StoreError; the part is then
    unchanged.
    """
    with clear_errors(path, "mend"):
        whole, lost = _sound_lines(path)
        good: list[bytes] = []
        bad: list[bytes] = []
        for text in whole.split(b"\n")[:-1]:
            line = parse_line(text, 0, 0)
            useful = not line.problem and line.seq >= expected
            (good if useful else bad).append(text + b"\n")
            expected = line.seq + 1 if useful else expected
        if bad:
            _keep(path, b"".join(bad))
        if bad or lost:
            replace_file(path, b"".join(good) + whole[whole.rfind(b"\n") + 1 :])
            _drop_packed(path, damaged=bool(lost))
    return len(bad) + lost, expected


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
        whole, lost = _sound_lines(path)
        replace_file(path, whole)
        _drop_packed(path, damaged=bool(lost))
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


def _sound_lines(path: Path) -> tuple[bytes, int]:
    """(the lines of a part that can be read, number of damaged blocks). Raises OSError."""
    chunks = list(part_chunks(path))
    sound = [chunk for chunk in chunks if not isinstance(chunk, LostBlock)]
    return b"".join(sound), len(chunks) - len(sound)


def _drop_packed(path: Path, damaged: bool) -> None:
    """Remove the compressed form of a part whose lines were written; move a damaged one aside."""
    packed = packed_path(path)
    if damaged:
        set_aside(packed)
    else:
        packed.unlink(missing_ok=True)
