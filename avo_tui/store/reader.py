"""Reading access to a session folder: load, follow, send commands. Any number at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from avo_tui.domain.base import ObjectId
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Command
from avo_tui.domain.events import EvaluationProgressed, Event
from avo_tui.domain.records import LIVE_STATES, Attempt, RunState
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.state import SessionState
from avo_tui.store.engine_presence import EngineStatus, engine_status, still_running
from avo_tui.store.inbox import send_command
from avo_tui.store.journal import read_events, read_report
from avo_tui.store.journal_follower import JournalCut
from avo_tui.store.layout import Layout
from avo_tui.store.live import LiveFollower, merged, read_live
from avo_tui.store.loading import fold, load
from avo_tui.store.objects import ObjectStore
from avo_tui.store.pages import pack

MAX_PROBLEMS = 100
NAMED = 3
"""Problems that the sentence about the damage names."""


def standing(state: RunState, reason: str, engine: EngineStatus) -> tuple[RunState, str]:
    """(state, reason) of a run now, derived from those on record and the state of its engine."""
    if state in LIVE_STATES and not engine.alive:
        return "lost", reason
    if engine.alive and engine.waiting:
        return "parked", engine.waiting
    return state, reason


class SessionReader:
    """A session opened for reading. The only thing it writes is commands."""

    state: SessionState
    """The state as of the last `poll`."""

    def __init__(self, layout: Layout) -> None:
        """Use `open` instead."""
        self._layout = layout
        self.folder = layout.folder
        self.objects = ObjectStore(layout.objects)
        self._engine = EngineStatus(alive=False)
        """The engine, as of the last time that the lock could be read."""
        self.reloads = 0
        """Times the session was read anew because its journal had become shorter: repaint all."""
        self.problems: list[str] = []
        """What is damaged, in sentences; the rest is usable."""
        self._load()
        self._candidate = lru_cache(64)(self._read_candidate)

    @classmethod
    def open(cls, folder: Path, most: int | None = None) -> SessionReader:
        """Read a session. Raises SessionNotFound, NewerFormat or DamagedSession, and StoreError
        where more than `most` bytes of its journal would have to be read for it."""
        return cls(Layout(folder.absolute(), most=most))

    @property
    def name(self) -> str:
        return self.state.session.name

    @property
    def mend(self) -> str:
        """What a person can do about damage, as the end of a sentence."""
        return self._layout.mend

    @property
    def damage(self) -> str:
        """What is damaged and what to do about it, in one sentence; empty where nothing is."""
        if not self.problems:
            return ""
        return f"{self.name} is damaged: {'; '.join(self.problems[:NAMED])}; {self.mend}"

    def _load(self) -> None:
        loaded = load(self._layout)
        self.state, self._follower = loaded.state, loaded.follower
        self.problems = loaded.notes[:MAX_PROBLEMS]
        self._live = LiveFollower(self._layout.live, self.state.session.applied)
        fold(self.state, self._counted(line.event for line in self._live.peek()))

    def _counted(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events that change the state, including live progress of a running attempt.

        Yields each event only after those before it were applied.
        """
        for event in events:
            if isinstance(event, EvaluationProgressed) and not event.seq:
                attempt = self.state.attempts.get((event.step, event.attempt))
                if attempt is None or attempt.verdict is not None:
                    continue
            yield event

    def poll(self, limit: int = 5000) -> list[Event]:
        """Up to `limit` new events, folded into `state`. Cheap and [] when there are none.

        The progress of the newest evaluation is among them, without numbers.
        """
        try:
            events = self._follower.poll(limit)
            if live := self._live.take(self._follower.seq):
                events = list(merged(events, live))
        except JournalCut:
            self._load()
            self.reloads += 1
            return []
        problems = fold(self.state, self._counted(events)) if events else []
        pack(self.state)
        problems += self._follower.take_problems()
        self.problems = (self.problems + problems)[-MAX_PROBLEMS:] if problems else self.problems
        return events

    def events(self, step: int | None = None, after: int = 0) -> Iterator[Event]:
        """Events above number `after`, of one step or of all, from the journal, in order.

        Those of one step with the progress of the newest evaluation among them, if it is of that
        step.
        """
        events = read_events(self._layout, step, after)
        live = read_live(self._layout.live) if step is not None else []
        mine = [line for line in live if line.event.step == step and line.after >= after]
        return merged(events, mine) if mine else events

    def step_events(self, step: int) -> list[Event]:
        return list(self.events(step))

    def get(self, identity: ObjectId) -> bytes:
        """An object. Raises KeyError where it is missing, DamagedSession where it was altered."""
        return self.objects.get(identity)

    def chunks(self, identity: ObjectId) -> Iterator[bytes]:
        """An object piece by piece. Raises as `get`, an alteration only behind the last piece."""
        return self.objects.chunks(identity)

    def text(self, identity: ObjectId) -> str:
        """An object as text; what is no UTF-8 is replaced. Raises as `get`."""
        return self.get(identity).decode("utf-8", "replace")

    def candidate(self, identity: ObjectId) -> Candidate:
        """The source of a candidate. Raises as `get`."""
        return self._candidate(identity)

    def _read_candidate(self, identity: ObjectId) -> Candidate:
        try:
            return Candidate.model_validate_json(self.get(identity))
        except ValueError as error:
            raise self.objects.damaged(identity, "is no candidate") from error

    def report(self, attempt: Attempt) -> EvaluationReport | None:
        """The whole report of an attempt; None where it has none yet. Raises as `get`."""
        return read_report(self._layout, self.objects, attempt)

    def engine(self) -> EngineStatus:
        """Whether an engine holds the session, and which.

        While the folder cannot be read, that is what was known before, as far as it still holds.
        """
        status = engine_status(self._layout.lock)
        if status.unreadable:
            return still_running(self._engine, status)
        self._engine = status
        return status

    def run_state(self) -> RunState:
        """The state of the run; `lost` where an engine should be running and none is.

        `parked` where the engine waits for a disk that does not even take this much.
        """
        return self.standing()[0]

    def standing(self) -> tuple[RunState, str]:
        """(state of the run as it is now, reason); see `run_state`."""
        session = self.state.session
        return standing(session.state, session.state_reason, self.engine())

    def send(self, command: Command) -> str:
        """Put a command into the inbox. Returns its id. Raises as `send_command`."""
        return send_command(self.folder, command)
