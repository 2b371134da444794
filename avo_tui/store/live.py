"""Progress of the running evaluation, stored beside the journal and only while it is current.

`progress.jsonl` holds the progress of the newest evaluation. It is emptied when another attempt
begins and removed when the engine ends. It is never synced, and nothing is rebuilt from it: the
report of an attempt in the journal contains everything of lasting value. Sessions of older versions
have their progress in the journal; readers accept both.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.base import Value
from avo_tui.domain.events import EvaluationProgressed, Event
from avo_tui.store.files import open_own, read_regular, write_all

log = logging.getLogger(__name__)

LIMIT_BYTES = 256 << 10
"""Size in bytes above which the file is emptied, whatever it contains."""

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class LiveLine(Value):
    after: int
    """Number of the last event of the journal when the line was written."""
    number: int
    """Counts the lines of one engine from 1."""
    event: EvaluationProgressed
    """The progress; its `seq` is 0."""

    @property
    def place(self) -> tuple[int, int]:
        """Sort key of the line among the journal's events and among other lines; it only
        increases."""
        return self.after, self.number


class LiveFile:
    """The engine's side. A failing disk loses only the progress."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._size = 0
        self._number = 0
        self._attempt: tuple[int, int] | None = None

    def add(self, event: EvaluationProgressed, after: int) -> None:
        """Add the progress that was made after event number `after` of the journal."""
        self._number += 1
        line = LiveLine(after=after, number=self._number, event=event)
        data = line.model_dump_json(exclude_defaults=True).encode("utf-8", "replace") + b"\n"
        attempt = (event.step, event.attempt)
        try:
            if self._descriptor < 0:
                self._descriptor = open_own(self._path, _FLAGS | os.O_TRUNC)
                self._size = 0
            if attempt != self._attempt or self._size > LIMIT_BYTES:
                os.ftruncate(self._descriptor, 0)
                self._size, self._attempt = 0, attempt
            write_all(self._descriptor, data)
            self._size += len(data)
        except OSError as error:
            log.warning("progress is not shown: %s: %s", self._path.name, error.strerror or error)
            self._let_go()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def close(self) -> None:
        """Remove the file: nothing is evaluated any more. May be called twice."""
        self._let_go()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Close without changing anything: the folder may belong to another process by now."""
        self._let_go()


class LiveFollower:
    """The reader's side: returns new lines of the file."""

    def __init__(self, path: Path, after: int) -> None:
        """Start with what was made after event number `after` of the journal."""
        self._path = path
        self._last = (after, 0)
        self._mark: tuple[int, int, int] | None = None
        self._waiting: list[LiveLine] = []

    def peek(self) -> list[LiveLine]:
        """The new lines, without marking them as read."""
        self._look()
        return list(self._waiting)

    def take(self, until: int) -> list[LiveLine]:
        """Take the new lines that were written after an event up to number `until`."""
        self._look()
        due = [line for line in self._waiting if line.after <= until]
        self._waiting = self._waiting[len(due) :]
        return due

    def _look(self) -> None:
        try:
            status = self._path.stat()
        except OSError:
            self._mark = None
            return
        mark = (status.st_ino, status.st_size, status.st_mtime_ns)
        if mark == self._mark:
            return
        self._mark = mark
        for line in read_live(self._path):
            if line.place > self._last:
                self._waiting.append(line)
                self._last = line.place


def read_live(path: Path) -> list[LiveLine]:
    """All lines of the file; empty if there is no file. Invalid lines are skipped, and what is too
    far from the end for a writer to have left it."""
    try:
        lines = read_regular(path)[-2 * LIMIT_BYTES :].split(b"\n")[:-1]
    except OSError:
        return []
    parsed: list[LiveLine] = []
    for line in lines:
        with contextlib.suppress(ValidationError):
            parsed.append(LiveLine.model_validate_json(line))
    return parsed


def merged(events: Iterable[Event], live: Iterable[LiveLine]) -> Iterator[Event]:
    """The journal's events, with each progress event after the event that preceded it."""
    waiting = iter(live)
    line = next(waiting, None)
    for event in events:
        while line is not None and line.after < event.seq:
            yield line.event
            line = next(waiting, None)
        yield event
    while line is not None:
        yield line.event
        line = next(waiting, None)
