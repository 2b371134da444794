"""Reads a session for the screens: a thread follows the journal and provides snapshots.

The thread never posts messages. It replaces `Feed.latest`, an immutable snapshot, at most a few
times a second; the app's tick shows it if it differs from the previous one. So a screen repaints at
the pace of its tick, however many events arrive.
"""

from __future__ import annotations

import operator
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from avo_tui.domain import lineage
from avo_tui.domain.attempts import open_step
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Command, CommandRecord, command_text
from avo_tui.domain.device import DeviceState
from avo_tui.domain.events import Event
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.progress import Progress, TryCounter, progress
from avo_tui.domain.records import (
    Attempt,
    Hint,
    Intervention,
    Note,
    Profile,
    RunState,
    SessionRecord,
    Step,
    Version,
)
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.state import SessionState
from avo_tui.domain.tables import RecordTable
from avo_tui.domain.workers import WorkersSeen
from avo_tui.store import (
    SessionNotFound,
    StoreError,
    device_history,
    queued_commands,
    read_workers,
    waiting_commands,
)
from avo_tui.ui.session.step_view import StepFold, StepView

K = TypeVar("K")
V = TypeVar("V")

POLL_SECONDS = 0.1
PUBLISH_SECONDS = 0.12
ENGINE_SECONDS = 1.0
BATCH = 5000
DEVICE_SECONDS = 2.0
DEVICE_SAMPLES = 150
"""Samples of each device that screens draw: five minutes."""


class Source(Protocol):
    """What a session is read from: a `SessionReader`, or a replay of one."""

    @property
    def state(self) -> SessionState: ...
    @property
    def folder(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def reloads(self) -> int:
        """Number of times that earlier events became invalid: a jump in a replay, a repaired
        journal."""
        ...

    def poll(self, limit: int = BATCH) -> list[Event]: ...
    def events(self, step: int | None = None, after: int = 0) -> Iterator[Event]: ...
    def chunks(self, identity: str) -> Iterator[bytes]: ...
    def candidate(self, identity: str) -> Candidate: ...
    def report(self, attempt: Attempt) -> EvaluationReport | None: ...
    def standing(self) -> tuple[RunState, str]: ...
    def send(self, command: Command) -> str: ...


@dataclass(frozen=True, slots=True)
class ReplayStatus:
    """The position and speed of a replay."""

    speed: float
    playing: bool
    position: int
    total: int
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the screens show, at one moment. Immutable."""

    session: SessionRecord
    run_state: RunState
    versions: Mapping[int, Version]
    steps: Mapping[int, Step]
    attempts: Mapping[tuple[int, int], Attempt]
    hints: Mapping[str, Hint]
    memory: Mapping[str, Note]
    supervision: Mapping[str, Intervention]
    commands: Mapping[str, CommandRecord]
    pending_approval: tuple[int, GateDecision] | None
    best: Version | None
    leaders: frozenset[int]
    """Versions that were the best at their commit, by the rule of `lineage.best_so_far`."""
    aggregates: Mapping[int, float]
    """Version → aggregate; each computed once."""
    live: StepView
    progress: Progress
    """Whether it waits and for whom, whether it gets better, what it costs."""
    replay: ReplayStatus | None = None
    trouble: str = ""
    """Why the session cannot be read now; what is shown is older then."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """Key → a profiler's report on a candidate."""
    queued: tuple[str, ...] = ()
    """The person's commands, in words, that the engine has not taken yet."""
    own: bool = True
    """Whether the person made the session or agreed to go on with it; True until that is known."""

    def profiles_of(self, candidate: str) -> tuple[Profile, ...]:
        return tuple(p for p in self.profiles.values() if p.candidate == candidate)

    @property
    def open_step(self) -> int | None:
        """Number of the step that is running, if one is."""
        return open_step(self.session.step, self.steps)

    @property
    def head(self) -> Version | None:
        """The version the next step starts from."""
        head = self.session.head
        return None if head is None else self.versions.get(head)

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt that is being evaluated, or waits to be decided upon."""
        view = self.live.attempt
        if view is None or self.live.ended is not None:
            return None
        record = self.attempts.get((view.attempt.step, view.attempt.number))
        if record is None or not (record.verdict is None or record.undecided):
            return None
        return record


def _table(now: dict[K, V], before: Mapping[K, V] | None) -> Mapping[K, V]:
    """A copy of a table, or the previous copy if it contains the same records.

    A caller that gets the same mapping again knows that nothing in it changed.
    """
    changed = now.changed_since(before) if isinstance(now, RecordTable) else None
    if before is not None and changed is not None:
        return now.copy() if changed else before
    if (
        before is not None
        and len(now) == len(before)
        and all(map(operator.is_, now.values(), before.values()))
    ):
        return before
    return now.copy()


class Replay(Protocol):
    """A source that plays a session which was recorded."""

    def status(self) -> ReplayStatus: ...


@dataclass
class Feed:
    """Follows one source. `run` is to be called in a thread; all other methods by the app."""

    source: Source
    replay: Replay | None = None
    """The source, if it is a replay; otherwise None."""
    latest: Snapshot | None = None
    is_own: Callable[[Path], bool] | None = None
    """Says whether the person made a session or agreed to go on with it; asked in the thread."""
    own: bool | None = None
    devices: Mapping[str, tuple[DeviceState, ...]] = field(default_factory=dict)
    """Device → its last samples; replaced as a whole. Not in the snapshot: a new sample changes
    nothing in the run. Empty in a replay."""
    workers: WorkersSeen | None = None
    """What each device does, as the engine told last; None where it did not, and in a replay."""
    _fold: StepFold = field(default_factory=StepFold)
    _wake: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _aggregates: dict[int, float] = field(default_factory=dict)
    _leaders: frozenset[int] = frozenset()
    _tries: TryCounter = field(default_factory=TryCounter)
    _backlog: Iterator[Event] = field(default_factory=lambda: iter(()))
    """Events of the current step that were not applied yet."""
    _backlog_end: int = 0
    _behind: bool = False
    _waiting: frozenset[str] = frozenset()
    """Ids of the commands that waited in the inbox when it was looked into last."""
    _queued: tuple[str, ...] = ()

    def prime(self, most: int = sys.maxsize) -> None:
        """Read the current step and make the first snapshot.

        More than `most` events are left for `run`: a step of a hundred thousand shows its lineage
        before its story.
        """
        state = self.source.state
        self._fold = StepFold()
        self._backlog = iter(self.source.events(step=state.session.step))
        self._backlog_end, self._behind = state.session.applied, True
        self._read_backlog(most)
        self.publish()

    def _read_backlog(self, most: int) -> None:
        """Go on with the current step's events, up to the state that was there at first."""
        for event in islice(self._backlog, most):
            if event.seq and event.seq > self._backlog_end:
                break
            self._fold.apply(event)
            most -= 1
        self._behind = not most

    def _catch_up(self) -> None:
        """Apply the events that `prime` left, and show intermediate snapshots."""
        while self._behind and not self._stop.is_set():
            try:
                self._read_backlog(BATCH)
            except (StoreError, OSError, ValueError, KeyError):
                self._behind = False  # the same is met, and shown, by the next poll
            self.publish()

    def run(self) -> None:
        """Follow the source until `stop` is called; read errors are shown, and reading is tried
        again."""
        dirty, published, probed, sensed = False, 0.0, 0.0, 0.0
        standing: tuple[RunState, str] | None = None
        status: ReplayStatus | None = None
        reloads, folder = self.source.reloads, self.source.folder
        was_there, looked = folder.is_dir(), False
        self._catch_up()
        while not self._stop.is_set():
            try:
                events = self.source.poll(BATCH)
                if self.source.reloads != reloads:
                    reloads = self.source.reloads
                    self._aggregates, self._leaders = {}, frozenset()
                    self._tries = TryCounter()
                    self.prime()
                    events = []
                for event in events:
                    self._fold.apply(event)
                moment = time.monotonic()
                if moment - probed >= ENGINE_SECONDS:
                    if was_there and not folder.is_dir():
                        raise SessionNotFound(f"the folder {folder} is gone")
                    probed, stands = moment, self.source.standing()
                    dirty = dirty or stands != standing or self._look_at_inbox()
                    standing = stands
                    # not at the first look: what this needs is not needed by the first picture
                    if looked and self.own is None and self.is_own is not None:
                        self.own = self.is_own(folder)
                    looked = True
                if moment - sensed >= DEVICE_SECONDS and self._status() is None:
                    sensed = moment
                    self.devices = device_history(self.source.folder, DEVICE_SAMPLES)
                    self.workers = read_workers(self.source.folder)
                if self._status() != status:
                    status, dirty = self._status(), True
                trouble = ""
            except (StoreError, OSError, ValueError, KeyError) as error:
                kind = "" if isinstance(error, StoreError) else f"{type(error).__name__}: "
                events, trouble = [], f"{kind}{error}"
            told = None if self.latest is None else (self.latest.trouble, self.latest.own)
            dirty = dirty or bool(events) or told != (trouble, self._may_go_on)
            if dirty and time.monotonic() - published >= PUBLISH_SECONDS:
                self.publish(trouble)
                dirty, published = False, time.monotonic()
            if len(events) < BATCH:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()

    @property
    def _may_go_on(self) -> bool:
        return self.own is not False

    def _look_at_inbox(self) -> bool:
        """Note the commands that wait for longer than between two looks; True if others do."""
        if self._status() is not None:
            return False
        ids = frozenset(waiting_commands(self.source.folder))
        late, self._waiting = ids & self._waiting, ids
        commands = queued_commands(self.source.folder) if late else []
        queued = tuple(command_text(c) for c in commands if c.id in late)
        changed, self._queued = queued != self._queued, queued
        return changed

    def _status(self) -> ReplayStatus | None:
        return None if self.replay is None else self.replay.status()

    def publish(self, trouble: str = "") -> None:
        """Replace `latest` by what is known now."""
        state, old = self.source.state, self.latest
        versions = _table(state.versions, None if old is None else old.versions)
        if old is None or versions is not old.versions:
            course = lineage.best_so_far(versions.values())
            self._leaders = frozenset(leader.number for leader in course)
        if len(self._aggregates) != len(versions):
            known = self._aggregates
            self._aggregates = {
                n: known[n] if n in known else v.aggregate  # noqa: SIM401 - the other is dear
                for n, v in state.versions.items()
            }
        run_state, reason = self.source.standing()
        session = state.session
        if reason != session.state_reason:  # a disk that takes no write holds no reason
            session = session.model_copy(update={"state_reason": reason, "parked_until": None})
        in_turn = [versions[number] for number in sorted(self._leaders)]
        self.latest = Snapshot(
            session=session,
            run_state=run_state,
            versions=versions,
            steps=_table(state.steps, None if old is None else old.steps),
            attempts=_table(state.attempts, None if old is None else old.attempts),
            hints=dict(state.hints),
            memory=dict(state.memory),
            supervision=dict(state.supervision),
            commands=dict(state.commands),
            pending_approval=state.pending_approval,
            best=in_turn[-1] if in_turn else None,
            leaders=self._leaders,
            aggregates=self._aggregates,
            live=self._fold.snapshot(),
            progress=progress(state, run_state, in_turn, self._tries),
            replay=self._status(),
            trouble=trouble,
            profiles=dict(state.profiles),
            queued=(*self._queued, *("hint" for h in state.hints.values() if h.state == "queued")),
            own=self._may_go_on,
        )

    def wake(self) -> None:
        """Check for news at once instead of at the next poll."""
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
