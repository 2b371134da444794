"""Writing access to a session folder. Only the engine has it."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Container, Sequence
from pathlib import Path

from avo_tui.domain import events as ev
from avo_tui.domain.base import ObjectId, now
from avo_tui.domain.commands import Command
from avo_tui.domain.events import Event
from avo_tui.domain.records import Attempt, SessionRecord
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.secrets import without_secrets
from avo_tui.domain.state import SessionState
from avo_tui.store.background_writer import BackgroundWriter
from avo_tui.store.compaction import Compaction
from avo_tui.store.crash_repair import keep_others_out, open_tables, remove_leftovers
from avo_tui.store.errors import (
    DiskTrouble,
    FolderLost,
    NoSpace,
    SessionExists,
    SessionLocked,
    SessionNotFound,
    StoreError,
    UnreadableNow,
    clear_errors,
)
from avo_tui.store.files import (
    Reserve,
    make_private_folder,
    open_regular,
    sync_folder,
    write_temporary,
)
from avo_tui.store.inbox import BadCommand, Inbox
from avo_tui.store.journal import JournalWriter, read_events, read_report
from avo_tui.store.journal_lines import event_line
from avo_tui.store.layout import Layout
from avo_tui.store.live import LiveFile
from avo_tui.store.loading import Loaded, load
from avo_tui.store.lock import EngineLock
from avo_tui.store.objects import ObjectStore

DEFERRED = (
    ev.AgentText,
    ev.EvaluationProgressed,
    ev.PlanSet,
    ev.ToolCalled,
    ev.ToolProgressed,
    ev.ToolReturned,
    ev.CandidateEdited,
    ev.StepStarted,
    ev.AttemptStarted,
    ev.PairMeasured,
    ev.GateDecided,
    ev.AttemptRejected,
)
"""Kinds of events that need not be synced individually. They become durable with the
next event that is synced, or within `background_writer.SYNC` seconds. A power cut before that
loses the latest of them, and the step repeats that work. Commands of the person and
their answers, commits, verdicts and spend are durable before anybody is told."""

URGENT = (ev.StateChanged, ev.EngineStopped, ev.TroubleNoted, ev.CommandTaken, ev.Recovered)
"""Kinds of event that may use the reserved disk space: they report that the disk is full."""

SOON = (
    ev.VersionCommitted,
    ev.StepStarted,
    ev.StepFinished,
    ev.StateChanged,
    ev.EngineStopped,
    ev.CommandTaken,
)
"""Kinds of event that are written to the tables soon, because lists and scripts look for them."""

log = logging.getLogger(__name__)

WRITTEN_BY_SOMEBODY = (
    ev.AttemptStarted,
    ev.HintQueued,
    ev.NoteWritten,
    ev.PlanSet,
    ev.VersionAnnotated,
    ev.VersionCommitted,
)
"""Kinds of event whose texts may hold a key that a person or an agent typed."""


class SessionWriter:
    """A session that is open for writing. Its methods may be called from one thread at a time."""

    state: SessionState
    folder: Path
    recovered: tuple[str, ...]
    """One sentence for each thing that `open` repaired; empty if nothing was damaged."""

    def __init__(self, layout: Layout, lock: EngineLock, loaded: Loaded, part: int) -> None:
        """Use `create` or `open` instead."""
        self._layout = layout
        self._lock = lock
        self.folder = layout.folder
        self.state = loaded.state
        self.recovered = tuple(loaded.notes)
        self.objects = ObjectStore(layout.objects)
        self.log_path = layout.folder / "engine.log"
        self._inbox = Inbox(layout.inbox)
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._journal = JournalWriter(layout, part)
        self._projection = open_tables(layout, loaded)
        self._live = LiveFile(layout.live)
        self._compaction = Compaction(layout, self._journal, self._check_ours)
        self._reserve = Reserve(layout.reserve)
        self._reserve.hold()
        self._background_writer = BackgroundWriter(self.flush, self._sync, self._compaction.step)
        self._closed = False
        self._lost: FolderLost | None = None
        """Why nothing may be written any more."""

    @classmethod
    def create(cls, folder: Path, session: SessionRecord, *objects: bytes) -> SessionWriter:
        """Make a new session with `objects`, which are stored before its first event; open it.

        Raises SessionExists, NoSpace, or StoreError where the folder cannot be made.
        """
        folder = folder.absolute()
        layout = Layout(folder, strict=True)
        taken = SessionExists(f"there is something at {folder} already; choose another name")
        with clear_errors(folder, "create"):
            if folder.is_symlink() or (folder.exists() and any(folder.iterdir())):
                raise taken
            fresh = not folder.exists()
            make_private_folder(folder, parents=True)
            sync_folder(folder.parent)
        try:
            lock = EngineLock(layout.lock)
        except SessionLocked:
            raise taken from None
        except BaseException:
            if fresh:
                # a half-made session would keep the name from being used at the next try
                shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            if layout.is_session():
                raise taken
            make_private_folder(layout.objects)
            for data in objects:
                ObjectStore(layout.objects).put(data)
            return cls._begin(layout, lock, session)
        except BaseException as error:
            with contextlib.suppress(StoreError):
                lock.release()
            if error is not taken:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    @classmethod
    def _begin(cls, layout: Layout, lock: EngineLock, session: SessionRecord) -> SessionWriter:
        with clear_errors(layout.folder, "create"):
            for part in (layout.journal, layout.objects, layout.inbox):
                make_private_folder(part)
            sync_folder(layout.folder)
        created = ev.SessionCreated(seq=1, at=now(), session=session)
        journal = JournalWriter(layout, 0)
        try:
            journal.append(event_line(created), 0, durable=True)
        finally:
            journal.close()
        writer = cls(layout, lock, load(layout, for_writing=True), 0)
        writer.recovered = ()
        try:
            writer.flush()
        except BaseException:
            writer._background_writer.stop()
            raise
        return writer

    @classmethod
    def open(cls, folder: Path) -> SessionWriter:
        """Take the lock and repair what a crash left.

        Raises SessionNotFound, SessionLocked, NewerFormat, DamagedSession, DiskTrouble or
        StoreError.
        """
        folder = folder.absolute()
        layout = Layout(folder, strict=True)
        if not layout.is_session():
            raise SessionNotFound(f"{folder} is not a session")
        lock = EngineLock(layout.lock)
        try:
            notes = lock.remarks()
            if lock.leased:
                keep_others_out(layout)
            loaded = load(layout, for_writing=True)
            loaded.notes[:0] = notes + remove_leftovers(layout)
            part = max(layout.parts(), default=loaded.state.session.step)
            writer = cls(layout, lock, loaded, part)
        except BaseException:
            with contextlib.suppress(StoreError):
                lock.release()
            raise
        if writer._projection.applied != writer.state.session.applied:
            writer._background_writer.ask(soon=True)
        return writer

    def __enter__(self) -> SessionWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- events

    def record(self, event: Event) -> Event:
        return self.record_all((event,))[0]

    def record_all(self, events: Sequence[Event]) -> list[Event]:
        """Append events as one transaction, fold them into the state, and return them numbered.

        After a kill or a power cut either all of them are in the journal or none. On return they
        are durable, and all events before them, unless all are of the kinds in `DEFERRED`. Nothing
        changes on an error: raises StoreError for an event that speaks of what is not there,
        DiskTrouble and FolderLost.
        """
        with self._lock.bulletin.writing(), self._mutex:
            self._must_be_ours()
            numbered = self._numbered(events)
            begins = next((e.step for e in numbered if isinstance(e, ev.StepStarted)), None)
            part = self._journal.part
            if begins is not None and self._journal.full:
                part = max(part, begins)
            self._append(numbered, part)
            for event in numbered:
                self.state.apply(event)
            unsynced = self._journal.unsynced
        self._background_writer.ask(any(isinstance(event, SOON) for event in numbered), unsynced)
        return numbered

    def show(self, progress: ev.EvaluationProgressed) -> ev.EvaluationProgressed:
        """Let viewers see progress that is not kept; returns it as they see it.

        A disk that fails costs only that. Raises FolderLost.
        """
        with self._lock.bulletin.writing(), self._mutex:
            self._must_be_ours()
            session = self.state.session
            event = progress.model_copy(update={"seq": 0, "at": now(), "step": session.step})
            self._live.add(event, session.applied)
            return event

    def _must_be_ours(self) -> None:
        if self._lost is not None:
            raise self._lost
        if self._lock.leased:  # another may have taken it over while this process slept
            self._check_ours()

    def _numbered(self, events: Sequence[Event]) -> list[Event]:
        """The events with number, time, step and group, tried on a copy of the state."""
        trial, first = self.state.trial(), self.state.session.applied + 1
        last = first + len(events) - 1
        numbered = []
        for seq, event in enumerate(events, first):
            step = event.step if "step" in event.model_fields_set else trial.session.step
            update = {"seq": seq, "at": now(), "step": step}
            if len(events) > 1:
                update["group_end"] = last
            clean = without_secrets(event) if isinstance(event, WRITTEN_BY_SOMEBODY) else event
            whole = clean.model_copy(update=update)
            try:
                trial.admit(whole)
            except (KeyError, ValueError) as error:
                raise StoreError(f"cannot record {event.kind}: {error.args[0]!r}") from error
            numbered.append(whole)
        return numbered

    def _append(self, events: Sequence[Event], part: int) -> None:
        if part != self._journal.part:
            self._check_ours()
        lines = b"\n".join(event_line(event) for event in events)
        durable = not all(isinstance(event, DEFERRED) for event in events)
        try:
            self._journal.append(lines, part, durable)
        except NoSpace:  # other errors of the disk do not go away with more room
            urgent = any(isinstance(event, URGENT) for event in events)
            if not urgent or not self._reserve.exists():
                raise
            self._reserve.drop()
            self._journal.append(lines, part, durable)

    def step_events(self, step: int) -> list[Event]:
        return list(read_events(self._layout, step))

    # -- objects

    def put(self, data: bytes | str) -> ObjectId:
        """Store an object, durable on return. Raises DiskTrouble, FolderLost or StoreError."""
        with self._lock.bulletin.writing():
            self._check_ours()
            return self.objects.put(data)

    def get(self, identity: ObjectId) -> bytes:
        """An object. Raises KeyError where it is missing, DamagedSession where it was altered."""
        return self.objects.get(identity)

    def report(self, attempt: Attempt) -> EvaluationReport | None:
        """The whole report of an attempt; None where it has none yet. Raises as `get`."""
        return read_report(self._layout, self.objects, attempt)

    # -- commands

    def pending_commands(
        self, most: int | None = None, skip: Container[str] = ()
    ) -> list[Command | BadCommand]:
        """What waits in the inbox, oldest first: at most so many, without those to skip. Never
        raises for junk.

        A command that was taken before a crash is not returned again.
        """
        waiting: list[Command | BadCommand] = []
        for item in self._inbox.pending(most, skip):
            if item.id in self.state.commands:
                self._inbox.done(item.id)
            else:
                waiting.append(item)
        return waiting

    def command_done(self, id: str) -> None:
        """Remove a command from the inbox, after its ev.CommandTaken was recorded."""
        self._inbox.done(id)

    # -- upkeep

    def heartbeat(self) -> None:
        """Update the lock's time stamp, and reserve disk space again if there is room.

        Raises FolderLost where the folder or its lock are no longer ours: from then on the writer
        refuses to write, and `close` changes nothing.
        """
        try:
            self._lock.heartbeat()
        except FolderLost as error:
            self._lost = error
            raise
        if not self._reserve.exists():
            self._reserve.hold()

    def say_waiting(self, why: str) -> None:
        """Tell viewers on this machine, without using the disk, what the run waits for; "" for
        nothing."""
        self._lock.bulletin.say(why)

    def probe(self, trouble: DiskTrouble) -> None:
        """Write and remove a file where the disk refused, and read the file that it refused.

        The disk may take the journal while it refuses another folder of the session. Raises
        DiskTrouble or StoreError.
        """
        if trouble.path is None:
            return
        folder = trouble.path.parent
        with self._lock.bulletin.writing():
            self._check_ours()
            with clear_errors(trouble.path, "write"):
                if folder.parent == self.objects.folder:
                    make_private_folder(folder)
                elif not folder.is_dir():
                    return
                write_temporary(folder, b"probe").unlink()
            if isinstance(trouble, UnreadableNow):
                with clear_errors(trouble.path, "read"), open_regular(trouble.path) as file:
                    file.read(1)

    def _check_ours(self) -> None:
        """Check that the folder is still ours before a file is opened by its path."""
        if self._lost is not None:
            raise self._lost
        try:
            self._lock.check()
        except FolderLost as error:
            self._lost = error
            raise

    def flush(self) -> None:
        """Bring the tables up to date. Raises DiskTrouble or StoreError; nothing is lost then."""
        with self._lock.bulletin.writing(), self._writing:
            with self._mutex:
                if self._projection.applied == self.state.session.applied:
                    return
                self._check_ours()
                snapshot = self._projection.snapshot(self.state)
                # the tables must never be ahead of the journal, a crash of the machine included
                self._journal.sync()
            self._projection.write(snapshot)

    def _sync(self) -> None:
        """Make the journal durable up to now. Raises DiskTrouble or StoreError."""
        with self._mutex:
            if self._journal.unsynced:
                self._check_ours()
                self._journal.sync()

    @property
    def trouble(self) -> str | None:
        """Why the tables could not be written lately, or None. The journal has every event."""
        return self._background_writer.trouble

    def close(self) -> None:
        """Write the tables and release the lock. May be called twice.

        Where there is no room for the tables they stay old; the next reader applies the missing
        events from the journal.
        """
        if self._closed:
            return
        self._closed = True
        self._background_writer.stop()
        if self._lost is None:
            with contextlib.suppress(FolderLost):
                self._check_ours()
        if self._lost is not None:
            log.error("closed without writing anything: %s", self._lost)
            self._journal.abandon()
            self._projection.pages.abandon()
            self._live.abandon()
            self._lock.abandon()
            return
        self._live.close()
        try:
            try:
                self._reserve.drop()
                self.flush()
            except DiskTrouble as error:
                log.warning("closed without writing the tables: %s", error)
        finally:
            for part in (self._journal, self._projection.pages):
                try:
                    part.close()
                except DiskTrouble as error:
                    log.error("closed without the last events: %s", error)
            with contextlib.suppress(DiskTrouble):
                self._lock.release()
