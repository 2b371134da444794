"""The lock of the engine, and the question whether a session has a living engine."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from avo_tui.domain.base import Moment, Value, now
from avo_tui.store.errors import SessionLocked, clear_errors
from avo_tui.store.files import write_all

STALE_AFTER = 60.0
"""Seconds without a heartbeat after which an engine on another host counts as gone."""

_PATIENCE = 1.0
"""Seconds to try for the lock: a reader that asks whether it is held holds it for an instant."""

_TRIES = 10
"""Tries at least: where the machine is busy, the time may pass between two of them."""


class EngineStatus(Value):
    """What is known of the engine of a session."""

    alive: bool
    pid: int | None = None
    host: str = ""
    since: Moment | None = None
    heartbeat: Moment | None = None
    """The last sign of life; an old one of a living engine means that it is frozen."""


class EngineLock:
    """`flock` on engine.lock, which says pid, host and since.

    Not the library filelock: it empties the file that it locks, and so would the loser of a race
    wipe what the winner says of itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_behind: EngineStatus | None = None
        """The engine that ended without releasing, if that is how the lock was found."""
        with clear_errors(path, "open"):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _acquire(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        tries = 1
        while not _flock(self._descriptor, fcntl.LOCK_EX):
            if tries >= _TRIES and time.monotonic() > deadline:
                raise _locked(_read(self.path))
            tries += 1
            time.sleep(0.02)
        found = _read(self.path)
        if found.pid is not None:
            if found.host != socket.gethostname() and _fresh(found):
                # a file system that does not carry locks between hosts
                raise _locked(found)
            self.left_behind = found.model_copy(update={"alive": False})
        text = json.dumps(
            {"pid": os.getpid(), "host": socket.gethostname(), "since": now().isoformat()}
        )
        with clear_errors(self.path, "write"):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            write_all(self._descriptor, text.encode())

    def heartbeat(self) -> None:
        """Say that the engine lives."""
        with clear_errors(self.path, "touch"):
            os.utime(self._descriptor)

    def release(self) -> None:
        """Let go, in good order. May be called twice."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            with clear_errors(self.path, "write"):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)


def engine_status(path: Path) -> EngineStatus:
    """Whether the lock at `path` is held. Never raises for a missing or odd file."""
    found = _read(path)
    if found.host and found.host != socket.gethostname():
        return found.model_copy(update={"alive": _fresh(found)})
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        return found.model_copy(update={"alive": not _flock(descriptor, fcntl.LOCK_SH)})
    finally:
        os.close(descriptor)


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> EngineStatus:
    try:
        modified = path.stat().st_mtime
        body = json.loads(path.read_text(errors="replace"))
        return EngineStatus(
            alive=False,
            pid=body["pid"],
            host=body["host"],
            since=body["since"],
            heartbeat=datetime.fromtimestamp(modified, UTC),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return EngineStatus(alive=False)


def _fresh(status: EngineStatus) -> bool:
    if status.heartbeat is None:
        return False
    return (now() - status.heartbeat).total_seconds() < STALE_AFTER


def _locked(status: EngineStatus) -> SessionLocked:
    since = status.since.isoformat(timespec="seconds") if status.since else ""
    return SessionLocked(status.pid, status.host, since)
