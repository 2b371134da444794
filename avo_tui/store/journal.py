"""The journal: append-only files of events, which are numbered without gaps over all of them.

A file is called a part and is named after the step that was current when its first event was
written. A new part begins with the first step that starts after the part before reached
`PART_BYTES`, so all events of a step are in one part: the last whose number is not above the
step's. Sessions of older versions have one part a step, which is the same rule with another size.
Parts that nothing is appended to any more are compressed: see `packed_parts`.
"""

from __future__ import annotations

from collections.abc import Iterator

from avo_tui.domain.events import AttemptFinished, Event
from avo_tui.domain.records import Attempt
from avo_tui.domain.report import EvaluationReport
from avo_tui.store.appending import AppendFile
from avo_tui.store.errors import DamagedSession, FolderLost
from avo_tui.store.journal_lines import read_lines
from avo_tui.store.layout import Layout
from avo_tui.store.objects import ObjectStore


def read_report(layout: Layout, objects: ObjectStore, attempt: Attempt) -> EvaluationReport | None:
    """The whole report of an attempt; None where it has none yet.

    Raises KeyError where the object is missing, DamagedSession where it or the event is damaged.
    """
    if attempt.report is not None:
        try:
            return EvaluationReport.model_validate_json(objects.get(attempt.report))
        except ValueError as error:
            raise objects.damaged(attempt.report, "is no report") from error
    if not attempt.report_event:
        return None
    event = read_event(layout, attempt.report_event, attempt.step)
    if not isinstance(event, AttemptFinished):
        name = f"{attempt.step}.{attempt.number}"
        raise DamagedSession(
            f"event {attempt.report_event} of the journal, the report of attempt {name}, "
            "is missing or damaged",
            layout.mend,
        )
    return event.report


PART_BYTES = 512 << 10
"""Size from which on the next step begins a new part, bytes."""


class JournalWriter:
    """Appends to the journal. There is only one, in the process that holds the engine's lock."""

    def __init__(self, layout: Layout, part: int) -> None:
        self._layout = layout
        self.part = part
        """The number of the part that is written now."""
        self._file = AppendFile(layout.part(part))

    @property
    def full(self) -> bool:
        """True where the next step is to begin a new part."""
        return self._file.size >= PART_BYTES

    @property
    def unsynced(self) -> bool:
        """True while something was appended that a power cut would take."""
        return self._file.unsynced

    def append(self, line: bytes, part: int, durable: bool) -> None:
        """Add lines, without the last newline, to `part`; on return durable if asked for.

        On an error the journal is as it was. Raises DiskTrouble or StoreError, FolderLost where
        the part was deleted.
        """
        if self._file.deleted:
            raise FolderLost(f"{self._file.path} was deleted: nothing more is written")
        if part != self.part:
            self._file.sync()
            fresh = AppendFile(self._layout.part(part))
            self._file.close()
            self._file, self.part = fresh, part
        self._file.append(line + b"\n", durable)

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        """Make everything durable and close. May be called twice."""
        self._file.close()

    def abandon(self) -> None:
        self._file.abandon()


def read_event(layout: Layout, seq: int, step: int) -> Event | None:
    """Event number `seq`, which is of `step`; None where it is missing or damaged.

    The lines before it are not parsed. Raises DiskTrouble where `layout` is strict and a part
    cannot be read for now.
    """
    home = layout.part_of(step)
    event = None if home is None else _event_in(layout, home, seq)
    if event is None:  # what is recorded later of a step may be in a later part
        later = _from(layout, layout.parts(), seq)
        event = _event_in(layout, later[0], seq) if later else None
    return event


def _event_in(layout: Layout, part: int, seq: int) -> Event | None:
    path = layout.part(part)
    try:
        lines = read_lines(path, 0, seq - 1)
        return next((line.event for line in lines if line.event and line.seq == seq), None)
    except OSError as error:
        layout.refuse(error, path)
        return None


def first_number(layout: Layout, part: int) -> int | None:
    """The number of the first event of a part, None where it holds none or cannot be read."""
    path = layout.part(part)
    try:
        for line in read_lines(path):
            if line.event is not None:
                return line.event.seq
    except OSError as error:
        layout.refuse(error, path)
    return None


def read_events(layout: Layout, step: int | None = None, after: int = 0) -> Iterator[Event]:
    """Events with a number above `after`, of one step or of all, in order.

    Parts that cannot be read are passed over: `doctor`, and whoever loads the session, name them.
    Where `layout` is strict, DiskTrouble is raised for those that cannot be read for now.
    """
    if step is None:
        parts = _from(layout, layout.parts(), after) if after else layout.parts()
    else:
        home = layout.part_of(step)
        parts = [] if home is None else [home]
    for part in parts:
        layout.account(part)
        try:
            for line in read_lines(layout.part(part), 0, after, step):
                if line.event is not None and (step is None or line.event.step == step):
                    yield line.event
        except OSError as error:
            layout.refuse(error, layout.part(part))


def _from(layout: Layout, parts: list[int], after: int) -> list[int]:
    """The parts that can hold events above number `after`: from the one that `after` is in on."""
    low, high = 0, len(parts)
    while high - low > 1:
        middle = (low + high) // 2
        first = first_number(layout, parts[middle])
        if first is None or first > after:
            high = middle
        else:
            low = middle
    return parts[low:]
