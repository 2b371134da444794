"""The lines of a campaign as its conductor handles them: sessions that are created and started."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from avo_tui.domain.budget import Budget
from avo_tui.domain.campaigns import Campaign, Line, Standing
from avo_tui.domain.commands import Command
from avo_tui.domain.records import RunState
from avo_tui.evolution.create import create_session
from avo_tui.evolution.keep import RestartBackoff
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


class StartEngine(Protocol):
    """Starts the engine of a session. Raises EngineFailed."""

    def __call__(self, folder: Path, *, restarts: int) -> int: ...


def _start(folder: Path, *, restarts: int) -> int:
    return start_engine(folder, restarts=restarts)


@dataclass(frozen=True)
class Processes:
    """How engines are started; tests replace it."""

    start: StartEngine = _start
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
    _not_before: float = 0.0
    _inbox_not_before: float = 0.0

    def open(self) -> bool:
        """Read what is new; returns whether the session exists. Raises StoreError."""
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
        """Start the engine if it should run and does not; returns why that failed, or "".

        The first start comes at once; each later one after a delay that grows while the engine
        keeps being lost.
        """
        now = self.processes.clock()
        if self.state != "lost" or now < self._not_before:
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
        try:
            self.processes.start(self.folder, restarts=self._restarts)
        except EngineFailed as error:
            return str(error)
        finally:
            self._restarts += 1
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
