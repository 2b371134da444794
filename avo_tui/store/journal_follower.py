"""Reads a journal that is being written: new events, over all its parts."""

from __future__ import annotations

import math
import time
from pathlib import Path

from avo_tui.domain.events import Event
from avo_tui.store.errors import passes
from avo_tui.store.journal_lines import JournalLine, read_lines
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import part_status

_TICK_NS = 2_000_000_000
_PATIENCE = 0.2
"""Seconds between two listings of the folder, to find a next part whose number leaves a gap."""

_BAD_LINE = 4 << 10
"""How many bytes of sound lines can be read while a bad one is looked at, about."""

_MOST_NAMED = 1000
"""Most bad lines one after the other that are named."""

_BLINK_SECONDS = 10.0
"""Seconds after which a part that cannot be read is skipped; until then the disk may be away."""


class JournalCut(Exception):  # noqa: N818
    """Events that were already read are gone from the journal; the reader must start again."""


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
            self._layout.account(later)
            self._part, self._offset, self._fruitless = later, 0, None
            self._read_part(events, limit)
        return events

    def _blinks(self) -> bool:
        """True if this part cannot be read now but may be readable soon."""
        since = self._refused.get(self._layout.part(self._part)) if self._part is not None else None
        return since is not None and time.monotonic() - since < _BLINK_SECONDS

    def _read_part(self, events: list[Event], limit: int) -> None:
        if self._part is None:
            return
        path = self._layout.part(self._part)
        try:
            status = part_status(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._unreadable(path, error)
            return
        if status.size < self._offset:
            raise JournalCut(f"{path.name} became shorter")
        mark = (self._part, status.size, status.changed_ns)
        if status.size == self._offset or mark == self._fruitless:
            return
        try:
            self._read_lines(path, events, limit)
        except OSError as error:
            self._unreadable(path, error)
            return
        self._refused.pop(path, None)
        # an unfinished tail may still be cut and written again, so do not go on to the next part
        if len(events) < limit:
            self._fruitless = mark

    def _unreadable(self, path: Path, error: OSError) -> None:
        self._layout.refuse(error, path)
        if path not in self._refused:
            lasting = not passes(error)
            self._refused[path] = -math.inf if lasting else time.monotonic()
            self._problems.append(f"{path.name} cannot be read: {error.strerror or error}")

    def _read_lines(self, path: Path, events: list[Event], limit: int) -> None:
        junk: list[JournalLine] = []
        for line in read_lines(path, self._offset, self.seq):
            if line.event is None and line.problem:
                self._layout.spend(_BAD_LINE)
                if len(junk) < _MOST_NAMED:
                    junk.append(line)
                continue
            self._pass_over(path, junk)
            if line.event is not None and line.event.seq != self.seq + 1:
                self._missing(path, self.seq + 1, line.event.seq - 1)
            self._offset = line.end
            self.highest = max(self.highest, line.seq)
            if line.event is not None:
                self.seq = line.event.seq
                events.append(line.event)
                if len(events) >= limit:
                    return

    def _pass_over(self, path: Path, junk: list[JournalLine]) -> None:
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
