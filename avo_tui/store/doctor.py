"""Checks that a session folder is whole, and repairs what can be repaired."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from avo_tui.domain import events as ev
from avo_tui.domain.base import ObjectId, Value
from avo_tui.domain.plain import Safe
from avo_tui.domain.records import LIVE_STATES
from avo_tui.domain.state import SessionState
from avo_tui.store.database import TABLES, load_tables, read_tables, table_of
from avo_tui.store.engine_presence import engine_status
from avo_tui.store.errors import DamagedSession, SessionNotFound, StoreError, clear_errors
from avo_tui.store.files import leftovers, remove, set_aside
from avo_tui.store.foreign_files import foreign_files, set_foreign_files_aside
from avo_tui.store.inbox import BadCommand, Inbox
from avo_tui.store.journal_lines import read_lines
from avo_tui.store.journal_repair import mend_journal
from avo_tui.store.known_sessions import is_known, remember_own
from avo_tui.store.layout import Layout
from avo_tui.store.loading import Loaded, Replay, load, name_after_folder, replay_journal
from avo_tui.store.objects import ObjectStore
from avo_tui.store.packed_parts import forms_differ, packed_path, part_file, part_status
from avo_tui.store.pages import read_pages
from avo_tui.store.stored_records import Page, whole
from avo_tui.store.writer import SessionWriter

Level = Literal["ok", "warn", "fail"]

NAMED = 10
"""How many damaged items of one kind are named one by one; the others are counted."""

OLD_SECONDS = 3600.0
"""Seconds after which a temporary file in a running session is taken for a leftover of a crash."""


class Finding(Value):
    level: Level
    what: str
    """What was checked, such as `journal` or `objects`."""
    sentence: Safe
    repaired: bool = False


def diagnose(folder: Path, repair: bool = False) -> list[Finding]:
    """Check a session, and with `repair` mend it; what is mended is marked.

    Raises SessionNotFound.
    """
    layout = Layout(folder.absolute())
    if not layout.is_session():
        raise SessionNotFound(f"{folder} is not a session")
    findings = _check(layout)
    if not repair or all(f.level == "ok" for f in findings):
        return findings
    if engine_status(layout.lock).alive:
        sentence = "nothing was mended: an engine holds the session; stop it first"
        return [*findings, Finding(level="warn", what="repair", sentence=sentence)]
    trouble: list[Finding] = []
    try:
        own = is_known(folder)
        _repair(layout, findings)
        if own:  # the line that it is known by may have a checksum now
            remember_own(folder)
    except StoreError as error:
        trouble.append(Finding(level="fail", what="repair", sentence=str(error)))
    left = _check(layout)
    remaining = {(f.what, f.sentence) for f in left}
    mended = [
        f.model_copy(update={"repaired": True})
        for f in findings
        if f.level != "ok" and (f.what, f.sentence) not in remaining
    ]
    return [*mended, *left, *trouble]


def _check(layout: Layout) -> list[Finding]:
    findings: list[Finding] = []
    subject = _Subject(layout)
    for what, check in _CHECKS.items():
        try:
            problems = [Finding(level=a, what=what, sentence=b) for a, b in check(subject)]
        except DamagedSession as error:
            problems = [Finding(level="fail", what=what, sentence=error.fact)]
        except (StoreError, OSError) as error:
            problems = [Finding(level="fail", what=what, sentence=str(error))]
        findings += problems
    return findings


Answers = Iterator[tuple[Level, str]]


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number} {one}" if number == 1 else f"{number} {more or one + 's'}"


def _permissions(subject: _Subject) -> Answers:
    mode = subject.layout.folder.stat().st_mode & 0o777
    if mode & 0o077:
        yield "warn", f"others may enter the folder: its mode is {mode:o}, it should be 700"
    else:
        yield "ok", "the folder is private"


def _files(subject: _Subject) -> Answers:
    """What is not the kind of file that a session has under its name."""
    for foreign in foreign_files(subject.layout):
        yield "fail" if foreign.readable else "warn", foreign.sentence


def _lock(subject: _Subject) -> Answers:
    engine = engine_status(subject.layout.lock)
    if engine.alive:
        since = engine.since.isoformat(timespec="seconds") if engine.since else "some time"
        yield "ok", f"the engine {engine.pid} on {engine.host} holds the session since {since}"
    elif engine.pid is not None:
        yield (
            "warn",
            f"the engine {engine.pid} on {engine.host} ended without closing; the next one goes on",
        )
    else:
        yield "ok", "no engine holds the session"


def _database(subject: _Subject) -> Answers:
    level: Level = "fail"
    sound = 0
    for path in (subject.layout.database, subject.layout.previous):
        if path.exists():
            try:
                read_tables(path)
                sound += 1
            except DamagedSession as error:
                yield level, error.fact
        elif path == subject.layout.database:
            yield level, f"{path.name} is missing"
        level = "warn"
    if sound:
        yield "ok", f"{_count(sound, 'generation')} of session.json can be read"


def _records(subject: _Subject) -> Answers:
    """The older records: those of session.json's present generation, each unpacked."""
    try:
        stored = load_tables(read_tables(subject.layout.database))
    except (StoreError, KeyError, TypeError, ValueError, AttributeError):
        return  # the database's own check says so
    if stored.extent is None:
        yield "fail", "session.json does not say where the older records are"
        return
    pages, problem = read_pages(subject.layout.pages, stored.extent)
    if problem:
        yield "fail", problem
    for number, page in enumerate(pages, 1):
        again = Page.of(page.kind, [whole(page, row) for row in range(len(page))])
        if again.header.columns != page.header.columns or again.masks != page.masks:
            yield "fail", f"page {number} of records.pages says other things than its records"
    if stored.extent.size:
        yield "ok", f"records.pages holds {_count(sum(map(len, pages)), 'record')}"


@dataclass
class _Walk:
    """What one reading of the whole journal gives."""

    expected: int = 1
    """The number that the next event must have."""
    flaws: list[tuple[Level, str]] = field(default_factory=list)
    replay: Replay = field(default_factory=Replay)
    users: dict[ObjectId, str] = field(default_factory=dict)
    """Object → what it is, for every object that the journal speaks of."""


class _Subject:
    """The session that is looked at; what is expensive to read of it is read once."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @cached_property
    def loaded(self) -> Loaded:
        """Raises StoreError."""
        return load(self.layout)

    @cached_property
    def walk(self) -> _Walk:
        try:
            until = self.loaded.state.session.applied
        except StoreError:
            until = sys.maxsize
        walk = _Walk()
        live = engine_status(self.layout.lock).alive
        folding = True
        for part in self.layout.parts():
            path = self.layout.part(part)
            try:
                for event in _look_through_part(path, live, walk):
                    folding = folding and (event.seq > until or walk.replay.take(event))
                    if (reference := _reference(event)) is not None:
                        walk.users.setdefault(*reference)
            except OSError as error:
                why = f"{part_file(path).name} cannot be read: {error.strerror or error}"
                walk.flaws.append(("fail", why))
        if walk.replay.state is not None:
            name_after_folder(walk.replay.state, self.layout)
        return walk


def _journal(subject: _Subject) -> Answers:
    walk = subject.walk
    yield from walk.flaws[:NAMED]
    if len(walk.flaws) > NAMED:
        yield "fail", f"and {_count(len(walk.flaws) - NAMED, 'more line', 'more lines')} like these"
    parts = _count(len(subject.layout.parts()), "part")
    yield "ok", f"{parts} with {_count(walk.expected - 1, 'event')}"


def _look_through_part(path: Path, live: bool, walk: _Walk) -> Iterator[ev.Event]:
    """The events of one part; adds its flaws to the walk's. Raises OSError."""
    end, size, name = 0, part_status(path).size, part_file(path).name
    if forms_differ(path):
        differ = f"{path.name} and {packed_path(path).name} differ; {name} is read"
        walk.flaws.append(("fail", differ))
    for line in read_lines(path):
        end = line.end
        if line.event is None:
            what = f"{name}: the line before byte {line.end} is {line.problem}"
            walk.flaws.append(("fail", what))
            continue
        seq, expected = line.event.seq, walk.expected
        if seq > expected:
            which = f"event {expected}" if seq == expected + 1 else f"{expected} to {seq - 1}"
            walk.flaws.append(("fail", f"missing before {name} goes on: {which}"))
        elif seq < expected:
            walk.flaws.append(("fail", f"{name}: event {seq} is there twice or out of order"))
        walk.expected = max(expected, seq + 1)
        yield line.event
    if end < size and not live:
        walk.flaws.append(("warn", f"{name} ends in a half-written line"))


def _replay(subject: _Subject) -> Answers:
    layout, loaded, replay = subject.layout, subject.loaded, subject.walk.replay
    applied = loaded.state.session.applied
    for note in loaded.notes:
        yield "warn", note
    if replay.state is None or not replay.reaches(applied):
        if _journal_has_everything(layout):
            yield "fail", f"session.json counts {applied} events, there are {replay.last}"
            return
        yield (
            "warn",
            "the tables have the effect of events that the journal has lost, so that they cannot "
            "be compared with it",
        )
    elif different := list(differences(loaded.state, replay.state)):
        for table in different:
            yield "fail", f"the table {table} differs from what the journal gives"
    else:
        yield "ok", f"the tables are what the journal gives, up to event {applied}"
    state = loaded.state.session.state
    if state in LIVE_STATES and not engine_status(layout.lock).alive:
        yield "ok", f"the run was {state} when its engine went; `avo run --resume` goes on"


def differences(one: SessionState, other: SessionState) -> Iterator[str]:
    """Names of the tables in which two states differ."""
    if one.session.model_dump_json() != other.session.model_dump_json():
        yield "session"
    for name in (t.name for t in TABLES):
        mine, theirs = table_of(one, name), table_of(other, name)
        if mine.keys() != theirs.keys() or any(
            record != theirs[key] and record.model_dump_json() != theirs[key].model_dump_json()
            for key, record in mine.items()
        ):
            yield name
    if one.pending_approval != other.pending_approval:
        yield "pending approval"


def _objects(subject: _Subject) -> Answers:
    store = ObjectStore(subject.layout.objects)
    users = subject.walk.users
    bad = 0
    total = 0
    for identity in store:
        total += 1
        try:
            deque(store.chunks(identity), maxlen=0)  # some may be too large for memory
        except (DamagedSession, KeyError) as error:
            bad += 1
            if bad <= NAMED:
                fact = error.fact if isinstance(error, DamagedSession) else str(error)
                yield "fail", f"{fact}{_used(users.get(identity))}"
    lost = [identity for identity in users if identity not in store]
    for identity in lost[:NAMED]:
        yield "fail", f"object {identity[:10]} is missing{_used(users[identity])}"
    for number, word in ((bad, "damaged"), (len(lost), "missing")):
        if number > NAMED:
            yield "fail", f"{_count(number - NAMED, 'more object is', 'more objects are')} {word}"
    yield "ok", f"{_count(total - bad, 'object has', 'objects have')} the hash of the name"


def _used(by: str | None) -> str:
    return f"; it is {by}" if by else ""


def _reference(event: ev.Event) -> tuple[ObjectId, str] | None:
    match event:
        case ev.VersionCommitted():
            return event.version.candidate, f"the source of v{event.version.number}"
        case ev.AttemptStarted():
            attempt = event.attempt
            return attempt.candidate, f"the source of attempt {attempt.step}.{attempt.number}"
        case ev.CandidateEdited():
            return event.candidate, f"a working candidate of step {event.step}"
        case ev.AttemptFinished(ref=str(ref)):
            return ref, f"the report of attempt {event.step}.{event.attempt}"
        case ev.MessageRecorded():
            return event.ref, f"a message of step {event.step}"
        case ev.ToolReturned(ref=str(ref)) | ev.TroubleNoted(ref=str(ref)):
            return ref, f"a result of step {event.step}"
        case _:
            return None


def _leftovers(subject: _Subject) -> Answers:
    live = engine_status(subject.layout.lock).alive
    junk = [
        path
        for path in _temporary(subject.layout)
        if not live or time.time() - path.stat().st_mtime > OLD_SECONDS
    ]
    if junk:
        yield "warn", f"{_count(len(junk), 'temporary file is', 'temporary files are')} left over"
    else:
        yield "ok", "no temporary files are left over"


def _temporary(layout: Layout) -> list[Path]:
    folders = [layout.folder, layout.journal, layout.inbox, layout.objects]
    if layout.objects.is_dir():
        folders += [p for p in layout.objects.iterdir() if p.is_dir()]
    return [path for folder in folders for path in leftovers(folder)]


def _inbox(subject: _Subject) -> Answers:
    waiting = Inbox(subject.layout.inbox).pending()
    bad = [item for item in waiting if isinstance(item, BadCommand)]
    for item in bad[:NAMED]:
        yield "warn", f"inbox/{item.id}: {item.reason}; the engine will refuse it"
    if len(bad) > NAMED:
        yield "warn", f"inbox: {_count(len(bad) - NAMED, 'more file')} like these"
    good = len(waiting) - len(bad)
    yield "ok", f"{_count(good, 'command waits', 'commands wait')} in the inbox"


_CHECKS: dict[str, Callable[[_Subject], Answers]] = {
    "permissions": _permissions,
    "files": _files,
    "lock": _lock,
    "database": _database,
    "records": _records,
    "journal": _journal,
    "replay": _replay,
    "objects": _objects,
    "leftovers": _leftovers,
    "inbox": _inbox,
}


def _repair(layout: Layout, found: list[Finding]) -> None:
    with contextlib.suppress(DamagedSession):
        load(layout)  # what a newer avo-tui wrote is no damage: NewerFormat is raised
    with clear_errors(layout.folder, "mend"):
        layout.folder.chmod(0o700)
        for path in _temporary(layout):
            remove(path)
    set_foreign_files_aside(layout)
    if any(f.what == "journal" and f.level == "fail" for f in found):
        mend_journal(layout)
    bad = any(f.what in {"replay", "records"} and f.level == "fail" for f in found)
    if bad and _journal_has_everything(layout):
        with clear_errors(layout.database, "move aside"):
            for path in (layout.database, layout.previous, layout.pages):
                if os.path.lexists(path):
                    set_aside(path)
    SessionWriter.open(layout.folder).close()


def _journal_has_everything(layout: Layout) -> bool:
    """Whether the journal alone can rebuild the session: no event is missing or refused, and the
    tables, if they can be read, know of nothing that comes after its end."""
    replay = replay_journal(layout)
    if not replay.whole or replay.state is None:
        return False
    try:
        tables = load(layout).state
    except StoreError:
        return True
    if replay.last >= tables.session.applied:
        return True
    of_journal = {"applied": replay.last, "last_event_at": replay.state.session.last_event_at}
    tables.session = tables.session.replaced(**of_journal)  # the number itself may be the damage
    return not list(differences(tables, replay.state))
