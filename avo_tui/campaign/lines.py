"""The lines of a campaign as its conductor handles them: sessions that are created and started."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from avo_tui.domain.budget import Budget
from avo_tui.domain.campaigns import Campaign, Line, Standing
from avo_tui.domain.commands import Command
from avo_tui.domain.records import RunState
from avo_tui.evolution.create import create_session
from avo_tui.evolution.keep import RestartBackoff, Start
from avo_tui.evolution.process import EngineFailed, start_engine, take_inbox
from avo_tui.store import (
    SessionNotFound,
    SessionReader,
    remove_unbegun,
    send_command,
    waiting_commands,
)

log = logging.getLogger(__name__)

DELIVER_SECONDS = 5.0
"""Seconds between two tries to have a command taken that waits in the inbox of an ended line."""


MOST_STARTS = 16
"""Engines that are started at the same time at most, on a machine with that many processors."""


def _start(folder: Path, *, restarts: int) -> int:
    return start_engine(folder, restarts=restarts)


class Starter:
    """Starts engines beside one another: as many at the same time as there are processors."""

    def __init__(self, start: Start = _start) -> None:
        self._start = start
        at_once = max(2, min(MOST_STARTS, os.cpu_count() or 2))
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="start")

    def begin(self, folder: Path, restarts: int) -> Future[int]:
        """Start the engine of a session when a place is free; the result is its pid, or the
        error EngineFailed."""
        return self._threads.submit(self._start, folder, restarts=restarts)

    def close(self) -> None:
        """Wait for the starts that are under way; those that have not begun are given up."""
        self._threads.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Processes:
    """How engines are started; tests replace it."""

    starter: Starter = field(default_factory=Starter)
    take_inbox: Callable[[Path], None] = take_inbox
    clock: Callable[[], float] = time.monotonic


@dataclass
class LineSession:
    """The session of one line: its reader, and the restarts of its engine."""

    folder: Path
    processes: Processes
    reader: SessionReader | None = None
    """None until the session is created."""
    _backoff: RestartBackoff = field(default_factory=RestartBackoff)
    _restarts: int = 0
    _began: float | None = None
    """When this process last started the engine."""
    _starting: Future[int] | None = None
    """The start of its engine that is under way."""
    _not_before: float = 0.0
    _inbox_not_before: float = 0.0

    def open(self) -> bool:
        """Read what is new; returns whether the session exists. Raises StoreError."""
        if self.reader is not None and not self.folder.is_dir():
            self.reader = None
        if self.reader is None:
            try:
                self.reader = SessionReader.open(self.folder)
            except SessionNotFound:
                return False
        while self.reader.poll():
            pass
        return True

    @property
    def state(self) -> RunState:
        """The state of the run; `starting` before the session is created."""
        return "starting" if self.reader is None else self.reader.run_state()

    @property
    def ended(self) -> bool:
        """Whether no engine of it runs or will be started by this process."""
        state = self.state
        return state in {"stopped", "finished"} or (state == "lost" and self._given_up)

    @property
    def _given_up(self) -> bool:
        """Whether its engine was lost too many times in a row to start it again."""
        return self._not_before == float("inf")

    def standing(self, line: Line) -> Standing:
        """How the line stands, for the rules of the campaign."""
        if self.reader is None:
            return Standing(number=line.number, state="starting", caps=line.settings.budget.run)
        session = self.reader.state.session
        state = "stopped" if self.ended and self.state == "lost" else self.state
        return Standing(
            number=line.number, state=state, spend=session.spend, caps=session.budget.run
        )

    def create(self, campaign: Campaign, line: Line) -> None:
        """Create the session. Raises StoreError, OSError and ValueError."""
        if line.origin is None:
            settings = line.settings
        else:
            settings = line.settings.model_copy(update={"origin": line.origin})
        remove_unbegun(self.folder)  # a process was killed while it created the session
        if self.open():  # raises what is wrong with a session that is there
            return
        create_session(line.session, campaign.task, settings, line.origin)
        self.open()

    def keep_alive(self) -> str:
        """Start the engine if it should run and does not; returns why a start failed, or "".

        The first start comes at once; each later one after a delay that grows while the engine
        keeps being lost. Starts happen beside this call: what became of one is told by a later
        call. An engine that was given up and that a person started is watched anew.
        """
        if self._starting is not None:
            return self._started()
        now = self.processes.clock()
        if self.state != "lost":
            if self._given_up:
                self._backoff, self._not_before, self._began = RestartBackoff(), 0.0, now
            return ""
        if now < self._not_before:
            return ""
        if self._began is not None:
            wait = self._backoff.after(now - self._began)
            if wait is None:
                self._not_before = float("inf")
                return (
                    f"its engine was lost {self._backoff.limit} times in a row; its last messages "
                    f"are in {self.folder / 'engine.log'}"
                )
            self._not_before, self._began = now + wait, None
            log.warning("%s was lost; it is started again in %.0f s", self.folder.name, wait)
            return ""
        self._began = now
        self._starting = self.processes.starter.begin(self.folder, self._restarts)
        self._restarts += 1
        return self._started()

    def _started(self) -> str:
        """Why the start that was under way failed; "" where it did not, or goes on still."""
        assert self._starting is not None
        if not self._starting.done():
            return ""
        start, self._starting = self._starting, None
        try:
            start.result()
        except EngineFailed as error:
            return str(error)
        return ""

    def send(self, command: Command, identity: str) -> None:
        """Send a command under an id of its own; a short-lived engine takes it if none runs.

        Sending it again changes nothing. Raises StoreError and EngineFailed.
        """
        if self.answered(identity):
            return
        send_command(self.folder, command.model_copy(update={"by": "campaign"}), identity)
        if self.reader is not None and self.ended:
            self.processes.take_inbox(self.folder)

    def deliver(self, prefix: str) -> None:
        """Have a command whose id begins so taken, where it waits and the line has ended.

        It was sent by a process that was killed before it saw to that, or while the engine was
        about to end. Tried every `DELIVER_SECONDS`. Raises EngineFailed.
        """
        now = self.processes.clock()
        if self.reader is None or not self.ended or not self.waits(prefix):
            return
        if now < self._inbox_not_before or self.reader.engine().alive:
            return
        self._inbox_not_before = now + DELIVER_SECONDS
        self.processes.take_inbox(self.folder)

    def answered(self, identity: str) -> bool:
        """Whether the command of this id is on record."""
        return self.reader is not None and identity in self.reader.state.commands

    def waits(self, prefix: str) -> bool:
        """Whether a command whose id begins so is in the inbox."""
        return any(identity.startswith(prefix) for identity in waiting_commands(self.folder))


def budget_of(session: LineSession, line: Line) -> Budget:
    """The budget that a line's session has on record."""
    if session.reader is None:
        return line.settings.budget
    return session.reader.state.session.budget
