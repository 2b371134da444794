"""The journal: append-only files of events, which are numbered without gaps over all of them.

A file is called a part and is named after the step that was current when its first event was
written. A new part begins with the first step that starts after the part before reached
`PART_BYTES`, so all events of a step are in one part: the last whose number is not above the
step's. Sessions of older versions have one part a step, which is the same rule with another size.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.events import Event, parse_event
from avo_tui.store.appending import AppendFile
from avo_tui.store.errors import clear_errors, passes
from avo_tui.store.files import open_regular, read_regular, replace_file
from avo_tui.store.layout import Layout

CHUNK = 1 << 20
"""Bytes read from the disk at a time."""

PART_BYTES = 512 << 10
"""Size from which on the next step begins a new part, bytes."""

UNFINISHED = "part of an append that was not finished"

REMEMBERED_STEPS = 256
"""Steps of which the writer remembers where they begin."""

_TICK_NS = 2_000_000_000
_PATIENCE = 0.2
"""Seconds between two listings of the folder, to find a next part whose number leaves a gap."""

_BLINK_SECONDS = 10.0
"""Seconds after which a part that cannot be read is skipped; until then the disk may be away."""

_SEQ = re.compile(rb'^\{"seq":(\d+),')
_STEP = re.compile(rb'^\{"seq":\d+,"at":"[^"]*","step":(\d+),')
_GROUP = b'"group_end":'


@dataclass(frozen=True)
class Line:
    """One whole line of a part."""

    event: Event | None
    """None where the line is not an event, or where the caller did not ask for its number."""
    end: int
    """Offset of the end of the line in its file, bytes."""
    seq: int = 0
    """Number of the event; 0 where the line is none."""
    problem: str = ""
    """Why the line is not an event; empty where it is one."""

    @property
    def event_group(self) -> int | None:
        """Number of the last event of this one's group; None where it stands alone."""
        return self.event.group_end if self.event is not None else None


def read_lines(
    path: Path, offset: int = 0, after: int = 0, step: int | None = None
) -> Iterator[Line]:
    """Whole lines from `offset` on; what follows the last newline is still being written.

    Events that were appended together come together: of a group that is not whole at the end of
    the file nothing is given, for it may still be being written; one that another line follows
    was never finished, and its lines are given as problems. Events up to number `after` are not
    built, nor, where it costs nothing to tell, those of another step than `step`. Raises OSError
    where the part cannot be read.
    """
    group: list[Line] = []
    for line in _all_lines(path, offset, after, step):
        if group and (line.event is None or line.event.group_end != group[0].event_group):
            yield from (Line(None, early.end, problem=UNFINISHED) for early in group)
            group = []
        if line.event_group is None:
            yield line
            continue
        group.append(line)
        if line.seq == line.event_group:
            yield from group
            group = []


def _all_lines(path: Path, offset: int, after: int, step: int | None) -> Iterator[Line]:
    rest = b""
    with open_regular(path) as file:
        file.seek(offset)
        while chunk := file.read(CHUNK):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                offset += len(line) + 1
                yield _parse(line, offset, after, step)


def _parse(line: bytes, end: int, after: int, step: int | None = None) -> Line:
    number = _SEQ.match(line)
    if number is not None and int(number[1]) <= after and line.endswith(b"}"):
        return Line(None, end, int(number[1]))
    if number is not None and step is not None and _is_of_another(line, step):
        return Line(None, end, int(number[1]))
    try:
        event = parse_event(line)
    except ValidationError as error:
        return Line(None, end, problem=_no_event(error))
    except (ValueError, RecursionError) as error:
        return Line(None, end, problem=f"not an event: {str(error).splitlines()[0]}")
    if event.seq < 1:
        return Line(None, end, problem="an event without a number")
    return Line(event if event.seq > after else None, end, event.seq)


def _is_of_another(line: bytes, step: int) -> bool:
    """True for a line that stands alone and says that it is of another step."""
    match = _STEP.match(line)
    # members of a group are needed to tell whether the group is whole
    return match is not None and int(match[1]) != step and _GROUP not in line


def _no_event(error: ValidationError) -> str:
    """Why a line is not an event, in a few words.

    Pydantic's own message lists every kind of event.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "union_tag_not_found":
        return "not an event: it says no kind"
    where = ".".join(str(part) for part in first["loc"])
    return f"not an event: {where + ': ' if where else ''}{first['msg']}"[:200]


class JournalWriter:
    """Appends to the journal. There is only one, in the process that holds the engine's lock."""

    def __init__(self, layout: Layout, part: int) -> None:
        self._layout = layout
        self.part = part
        """The number of the part that is written now."""
        self._file = AppendFile(layout.part(part))
        self._begun: dict[int, tuple[int, int]] = {}
        """Step → (part, offset of its first event, bytes), for the latest steps."""

    @property
    def full(self) -> bool:
        """True where the next step is to begin a new part."""
        return self._file.size >= PART_BYTES

    @property
    def unsynced(self) -> bool:
        """True while something was appended that a power cut would take."""
        return self._file.unsynced

    def append(self, line: bytes, part: int, durable: bool, begins: int | None = None) -> None:
        """Add lines, without the last newline, to `part`; on return durable if asked for.

        `begins` is the step whose first events these are. On an error the journal is as it was.
        Raises DiskTrouble or StoreError.
        """
        if part != self.part:
            self._file.sync()
            fresh = AppendFile(self._layout.part(part))
            self._file.close()
            self._file, self.part = fresh, part
        offset = self._file.size
        self._file.append(line + b"\n", durable)
        if begins is not None:
            self._begun[begins] = (part, offset)
            while len(self._begun) > REMEMBERED_STEPS:
                del self._begun[next(iter(self._begun))]

    def events_of(self, step: int) -> list[Event]:
        """Events of one step, in order."""
        part, offset = self._begun.get(step, (None, 0))
        return list(read_events(self._layout, step, begin=(part, offset)))

    def sync(self) -> None:
        """Make everything durable."""
        self._file.sync()

    def close(self) -> None:
        """Make everything durable and close. May be called twice."""
        self._file.close()

    def abandon(self) -> None:
        """Close without writing anything more."""
        self._file.abandon()


class JournalFollower:
    """Reads events from a given one on, over all parts of the journal.

    Cheap where nothing is new.
    """

    def __init__(self, layout: Layout, after: int = 0, part: int | None = None) -> None:
        """Start after event number `after`, which must be in `part` or in a later one."""
        self._layout = layout
        self.seq = after
        self.highest = 0
        """The highest number that was met, of events passed over included."""
        self._part = part
        self._offset = 0
        self._fruitless: tuple[int, int, int] | None = None
        self._folder_seen = -1
        self._known: list[int] = []
        self._listed = -math.inf
        self._problems: list[str] = []
        self._refused: dict[Path, float] = {}
        """Parts that cannot be read, and since when, by the monotonic clock."""

    def take_problems(self) -> list[str]:
        """What was found wrong since the last call."""
        problems, self._problems = self._problems, []
        return problems

    def poll(self, limit: int) -> list[Event]:
        """Up to `limit` new events, in order. [] when there are none.

        Raises JournalCut where the part is shorter than what was read of it.
        """
        events: list[Event] = []
        self._read_part(events, limit)
        while len(events) < limit and (later := self._next_part()) is not None:
            # the last events of a part may have been written after it was read and before the next
            # began
            self._read_part(events, limit)
            if len(events) >= limit:
                break
            if self._blinks():
                break
            self._part, self._offset, self._fruitless = later, 0, None
            self._read_part(events, limit)
        return events

    def _blinks(self) -> bool:
        """True if this part cannot be read now but may be readable soon."""
        since = self._refused.get(self._layout.part(self._part)) if self._part is not None else None
        return since is not None and time.monotonic() - since < _BLINK_SECONDS

    def _read_part(self, found: list[Event], limit: int) -> None:
        if self._part is None:
            return
        path = self._layout.part(self._part)
        try:
            status = path.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            self._unreadable(path, error)
            return
        if status.st_size < self._offset:
            raise JournalCut(f"{path.name} became shorter")
        mark = (self._part, status.st_size, status.st_mtime_ns)
        if status.st_size == self._offset or mark == self._fruitless:
            return
        try:
            self._read_lines(path, found, limit)
        except OSError as error:
            self._unreadable(path, error)
            return
        self._refused.pop(path, None)
        # an unfinished tail may still be cut and written again, so do not go on to the next part
        if len(found) < limit:
            self._fruitless = mark

    def _unreadable(self, path: Path, error: OSError) -> None:
        self._layout.refuse(error, path)
        if path not in self._refused:
            lasting = not passes(error)
            self._refused[path] = -math.inf if lasting else time.monotonic()
            self._problems.append(f"{path.name} cannot be read: {error.strerror or error}")

    def _read_lines(self, path: Path, found: list[Event], limit: int) -> None:
        junk: list[Line] = []
        for line in read_lines(path, self._offset, self.seq):
            if line.event is None and line.problem:
                junk.append(line)
                continue
            self._pass_over(path, junk)
            self._offset = line.end
            self.highest = max(self.highest, line.seq)
            if line.event is not None:
                if line.event.seq != self.seq + 1:
                    self._missing(path, self.seq + 1, line.event.seq - 1)
                self.seq = line.event.seq
                found.append(line.event)
                if len(found) >= limit:
                    return

    def _pass_over(self, path: Path, junk: list[Line]) -> None:
        for line in junk:
            self._problems.append(
                f"{path.name}: a line that ends at byte {line.end} is {line.problem}"
            )
        junk.clear()

    def _missing(self, path: Path, first: int, last: int) -> None:
        which = f"event {first} is" if first == last else f"events {first} to {last} are"
        self._problems.append(f"{which} missing before {path.name} goes on")

    def _next_part(self) -> int | None:
        """The part after the one that is read, if there is one."""
        try:
            changed = self._layout.journal.stat().st_mtime_ns
        except OSError as error:
            self._layout.refuse(error, self._layout.journal)
            return None
        if changed == self._folder_seen:
            return None
        if self._part is not None and self._layout.has_part(self._part + 1):
            return self._part + 1
        self._known = [p for p in self._known if self._part is None or p > self._part]
        clock = time.monotonic()
        if not self._known and clock - self._listed > _PATIENCE:
            self._listed = clock
            parts = self._layout.parts()
            self._known = [p for p in parts if self._part is None or p > self._part]
            # within one tick of the file system's clock the folder can change without a new time
            # stamp
            if not self._known and abs(time.time_ns() - changed) > _TICK_NS:
                self._folder_seen = changed
        return self._known[0] if self._known else None


class JournalCut(Exception):  # noqa: N818
    """Events that were already read are gone from the journal; the reader must start again."""


def cut_torn_tail(path: Path) -> str | None:
    """Cut off what follows the last event of a part; returns what was done, None if nothing was.

    A half-written line is dropped. Whole lines that are not events are moved to a file beside the
    part.
    """
    with clear_errors(path, "mend"), path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _end_of_events(path, size)
        if size == end:
            return None
        file.seek(end)
        tail = file.read()
        if b"\n" in tail:
            with path.with_suffix(".damaged").open("ab") as copy:
                copy.write(tail)
                copy.flush()
                os.fsync(copy.fileno())
        file.truncate(end)
        os.fsync(file.fileno())
    return f"cut {size - end} bytes without a whole event from the end of {path.name}"


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
        whole = read_regular(path)
        good: list[bytes] = []
        bad: list[bytes] = []
        for text in whole.split(b"\n")[:-1]:
            line = _parse(text, 0, 0)
            useful = not line.problem and line.seq >= expected
            (good if useful else bad).append(text + b"\n")
            expected = line.seq + 1 if useful else expected
        if bad:
            with path.with_suffix(".damaged").open("ab") as copy:
                copy.write(b"".join(bad))
                copy.flush()
                os.fsync(copy.fileno())
            replace_file(path, b"".join(good) + whole[whole.rfind(b"\n") + 1 :])
    return len(bad), expected


def read_event(layout: Layout, seq: int, step: int) -> Event | None:
    """Event number `seq`, which is of `step`; None where it is missing or damaged.

    Costs the reading of one part, and not the parsing of its lines. Raises DiskTrouble where
    `layout` is strict and a part cannot be read for now.
    """
    home = layout.part_of(step)
    event = None if home is None else _event_in(layout, home, seq)
    if event is None:
        parts = _from(layout, layout.parts(), seq)
        event = _event_in(layout, parts[0], seq) if parts else None
    return event


def _event_in(layout: Layout, part: int, seq: int) -> Event | None:
    begin = b'{"seq":%d,' % seq
    path = layout.part(part)
    try:
        data = read_regular(path)
    except OSError as error:
        layout.refuse(error, path)
        return None
    start = 0 if data.startswith(begin) else data.find(b"\n" + begin) + 1
    if not start and not data.startswith(begin):
        return None
    end = data.find(b"\n", start)
    return None if end < 0 else _parse(data[start:end], 0, 0).event


def _first_seq(layout: Layout, part: int) -> int | None:
    """The number of the first event of a part, None where it holds none or cannot be read."""
    path = layout.part(part)
    try:
        for line in read_lines(path):
            if line.event is not None:
                return line.event.seq
    except OSError as error:
        layout.refuse(error, path)
    return None


def read_events(
    layout: Layout,
    step: int | None = None,
    after: int = 0,
    begin: tuple[int | None, int] = (None, 0),
) -> Iterator[Event]:
    """Events with a number above `after`, of one step or of all, in order.

    `begin` is (part, offset in it) of the first event of `step`, where the caller knows it. Parts
    that cannot be read are passed over: `doctor`, and whoever loads the session, name them. Where
    `layout` is strict, DiskTrouble is raised for those that cannot be read for now.
    """
    if step is None:
        parts = _from(layout, layout.parts(), after) if after else layout.parts()
        begin = (None, 0)
    else:
        home = begin[0] if begin[0] is not None else layout.part_of(step)
        parts = [] if home is None else [home]
    for part in parts:
        try:
            for line in read_lines(layout.part(part), begin[1], after, step):
                event = line.event
                if event is not None and (step is None or event.step == step):
                    yield event
        except OSError as error:
            layout.refuse(error, layout.part(part))


def _from(layout: Layout, parts: list[int], after: int) -> list[int]:
    """The parts that can hold events above number `after`: from the one that `after` is in on."""
    low, high = 0, len(parts)
    while high - low > 1:
        middle = (low + high) // 2
        first = _first_seq(layout, parts[middle])
        if first is None or first > after:
            high = middle
        else:
            low = middle
    return parts[low:]
