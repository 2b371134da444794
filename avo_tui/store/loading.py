"""Reads a session's state from its tables, else from the previous tables, else from the journal."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from avo_tui.domain.events import Event, SessionCreated
from avo_tui.domain.state import SessionState
from avo_tui.domain.tables import RecordTable
from avo_tui.store.database import Stored, check_format, load_tables, read_tables
from avo_tui.store.errors import DamagedSession, DiskTrouble, SessionNotFound
from avo_tui.store.journal import read_event, read_events
from avo_tui.store.journal_follower import JournalFollower
from avo_tui.store.layout import Layout
from avo_tui.store.pages import Extent, pack, read_pages
from avo_tui.store.stored_records import KINDS, Page

BATCH = 5000


@dataclass
class Loaded:
    """A state that was read from a session folder, with its source."""

    state: SessionState
    follower: JournalFollower
    """Gives the events that come after `state`."""
    tables: int | None
    """The last event in session.json; None where the state was read from elsewhere."""
    extent: Extent
    """The part of records.pages that the state was read from; empty where that file must be written
    again, or for the first time."""
    stale: bool = False
    """Whether session.json is to be written anew: an older avo-tui wrote it, or records.pages is
    not what it says."""
    notes: list[str] = field(default_factory=list)
    """One sentence for each problem that was met, with what was done about it."""


def load(layout: Layout, for_writing: bool = False) -> Loaded:
    """Read a session. Changes nothing.

    Raises SessionNotFound, NewerFormat, or DamagedSession where not even the journal
    says what the session is; DiskTrouble where `layout` is strict and something cannot be read for
    now.
    """
    if not layout.is_session():
        raise SessionNotFound(f"{layout.folder} is not a session")
    notes: list[str] = []
    with _uncollected():
        loaded = _from_tables(layout, notes, for_writing)
        if loaded is None or not follow(layout, loaded):
            loaded = _from_journal(layout, notes)
            follow(layout, loaded)
        if not for_writing:
            pack(loaded.state)
    layout.most = None  # what is written from now on is read
    name_after_folder(loaded.state, layout)
    return loaded


def name_after_folder(state: SessionState, layout: Layout) -> None:
    """Set the session's name to that of its folder, which differs after a copy or a rename.

    Advice such as "avo run --resume NAME" then names this session and not the original.
    """
    if state.session.name != layout.folder.name:
        state.session = state.session.model_copy(update={"name": layout.folder.name})


@contextmanager
def _uncollected() -> Iterator[None]:
    """Switch the garbage collector off while a session is read.

    The collector would scan the new records repeatedly although all of them stay; without it a
    session of one week opens in half the time. Afterwards the records are frozen, so that later
    collections do not stop a screen for a tenth of a second each. Records hold no reference cycles,
    so they are still freed.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def follow(layout: Layout, loaded: Loaded) -> bool:
    """Apply the events of the journal that come after the state.

    False where the tables cannot be trusted: they say a number below that of their last event, so
    that some would be applied a second time, or they are of another session. Of a journal with
    gaps that is only noted, since they may hold what it lacks.
    """
    session = loaded.state.session
    events = loaded.follower.poll(BATCH)
    before = read_event(layout, session.applied, session.step) if events else None
    if before is not None and before.at != session.last_event_at:
        loaded.notes.append(f"the tables go beyond event {session.applied}, which they say is last")
        if replay_journal(layout).whole:
            return False
    while events:
        loaded.notes.extend(fold(loaded.state, events))
        events = loaded.follower.poll(BATCH)
    loaded.notes.extend(loaded.follower.take_problems())
    applied, last = loaded.state.session.applied, loaded.follower.highest
    if last < applied:
        where = f"ends at event {last}" if last else "has nothing of the last step"
        loaded.notes.append(f"the journal {where}, the tables go up to event {applied}")
        first = read_event(layout, 1, 0)
        if isinstance(first, SessionCreated) and first.session.created != session.created:
            loaded.notes.append("the tables are of another session")
            return not replay_journal(layout).whole
    return True


def fold(state: SessionState, events: Iterable[Event]) -> list[str]:
    """Apply events; those that cannot be applied are counted and named in the problems."""
    problems = []
    for event in events:
        try:
            state.apply(event)
        except KeyError as error:
            problems.append(
                f"event {event.seq} ({event.kind}) speaks of {error.args[0]!r}, which is not there"
            )
            state.skip(event)
        except Exception as error:  # read on behind an event that cannot be applied
            problems.append(f"event {event.seq} ({event.kind}) cannot be used: {error}")
            state.skip(event)
    return problems


def _from_tables(layout: Layout, notes: list[str], for_writing: bool) -> Loaded | None:
    for path in (layout.database, layout.previous):
        if not os.path.lexists(path):
            if path == layout.database:
                notes.append(f"{path.name} is missing")
            continue
        try:
            tables = load_tables(read_tables(path))
        except DamagedSession as error:
            _must_wait(layout, error)
            notes.append(error.fact)
            continue
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            notes.append(f"{path.name} holds what no session holds: {error!r}")
            continue
        current = path == layout.database
        if not current:
            notes.append(f"took {path.name} and the journal instead")
        applied = tables.state.session.applied if current else None
        state, extent = _folded_anew(layout, tables), Extent()
        if state is None:
            state, extent = _with_older_records(layout, tables, notes)
        elif for_writing:
            notes.append("an older avo-tui wrote the tables: they were made anew from the journal")
        follower = JournalFollower(
            layout, state.session.applied, layout.part_of(state.session.step)
        )
        stale = tables.outdated or extent != tables.extent
        return Loaded(state, follower, applied, extent, stale, notes)
    return None


def _with_older_records(
    layout: Layout, stored: Stored, notes: list[str]
) -> tuple[SessionState, Extent]:
    """(state with the records that are not rows of session.json, extent of the pages used).

    Where their file is damaged, they are taken from the journal.
    """
    pages: list[Page] = []
    problem = f"{layout.database.name} does not say where the older records are"
    if stored.extent is not None:
        try:
            pages, problem = read_pages(layout.pages, stored.extent)
        except DamagedSession as error:
            _must_wait(layout, error)
            problem = error.fact
    if not problem:
        return _with_large_tables(stored.state, pages), stored.extent or Extent()
    applied = stored.state.session.applied
    replay = replay_journal(layout, applied, past_gaps=True)
    if replay.state is not None and replay.reaches(applied):
        notes.append(f"{problem}; took the older records from the journal instead")
        large = {name: getattr(replay.state, name) for name in KINDS}
        return replace(stored.state, **large), Extent()
    notes.append(
        f"{problem}; the journal is damaged too: took what is sound of both, older records are "
        "missing"
    )
    return _with_large_tables(stored.state, pages, replay.state), Extent()


def _with_large_tables(
    state: SessionState, pages: list[Page], oldest: SessionState | None = None
) -> SessionState:
    """A state with the records of `oldest`, over them those of pages, over them its own."""
    tables: dict[str, Any] = {name: RecordTable[Any, Any]() for name in KINDS}
    for page in pages:
        tables[page.kind.table].pack(page.records())
    for name, table in tables.items():
        for key, record in getattr(state, name).items():
            table[key] = record
        if oldest is not None:
            known = {**getattr(oldest, name), **table}
            tables[name] = RecordTable({key: known[key] for key in sorted(known)})
    return replace(state, **tables)


def _folded_anew(layout: Layout, stored: Stored) -> SessionState | None:
    """The state up to the same event from the journal, where an older version of the fold made the
    tables; None where they are not outdated or the journal has not all of these events."""
    if not stored.outdated:
        return None
    applied = stored.state.session.applied
    replay = replay_journal(layout, applied)
    return replay.state if replay.reaches(applied) else None


def _must_wait(layout: Layout, error: DamagedSession) -> None:
    """Raise an error that may pass, if the layout is strict: a writer that took an older state for
    the newest would give events numbers that exist."""
    if layout.strict and isinstance(error, DiskTrouble):
        raise error


def _from_journal(layout: Layout, notes: list[str]) -> Loaded:
    follower = JournalFollower(layout)
    first = follower.poll(1)
    if not first or not isinstance(first[0], SessionCreated):
        why = "; ".join(notes) or "there is no session.json"
        raise DamagedSession(
            f"{layout.folder.name} cannot be read: {why}, and its journal does not begin with "
            "the creation of the session",
            "put one of the two back from a copy, or try "
            f"`avo doctor {layout.folder.name} --repair`",
        )
    check_format(first[0].session.format)
    notes.append("built everything from the journal")
    state = SessionState.begin(first[0])
    return Loaded(state, follower, None, Extent(), notes=notes)


@dataclass
class Replay:
    """What the journal alone gives."""

    state: SessionState | None = None
    """None where the journal does not begin with the creation of the session."""
    last: int = 0
    """Number of the last event up to which none is missing or damaged."""
    missing: bool = False
    """Whether an event is missing or damaged before another one."""
    refused: bool = False
    """Whether there is an event that cannot be applied."""

    @property
    def whole(self) -> bool:
        """Whether the journal alone can rebuild the session: no event is missing or refused."""
        return self.reaches(0) and not self.refused

    def reaches(self, seq: int) -> bool:
        """Whether the journal has every event up to number `seq`."""
        return self.state is not None and not self.missing and self.last >= seq

    def take(self, event: Event, past_gaps: bool = False) -> bool:
        """Fold the next event of the journal; False where it cannot be gone on from here."""
        if event.seq <= self.last:  # two engines wrote at once: the first event counts
            return True
        if event.seq != self.last + 1:
            self.missing = True
            if not past_gaps:
                return False
        if self.state is not None:
            self.refused |= bool(fold(self.state, [event]))
        elif isinstance(event, SessionCreated):
            self.state = SessionState.begin(event)
        else:
            return False
        self.last = event.seq
        return True


def replay_journal(layout: Layout, until: int | None = None, past_gaps: bool = False) -> Replay:
    """Fold the journal alone, up to event `until`, or up to the first event that is missing unless
    `past_gaps`."""
    replay = Replay()
    for event in read_events(layout):
        if (until is not None and event.seq > until) or not replay.take(event, past_gaps):
            break
    if replay.state is not None:
        name_after_folder(replay.state, layout)
    return replay


def fold_journal(layout: Layout, until: int | None = None) -> SessionState:
    """The state that the journal alone gives, up to event `until`, whatever is missing.

    Raises DamagedSession where the journal does not begin with the creation of the session.
    """
    state = replay_journal(layout, until, past_gaps=True).state
    if state is None:
        fact = f"the journal of {layout.folder.name} does not begin at its beginning"
        raise DamagedSession(fact, layout.mend)
    return state
