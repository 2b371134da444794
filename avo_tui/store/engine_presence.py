"""Tells whether an engine holds a session and what it waits for; changes nothing.

Whether it lives is told by the lock's files. A session folder on a disk that accepts no writes
cannot hold the reason why its run stands still: the engine keeps it in a file in memory
(`memfd_create`), whose number is in engine.lock; processes of the same user on the same machine
read it through /proc. On other machines, and without /proc, the reason is not available.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from avo_tui.domain.base import Moment, Value
from avo_tui.domain.plain import Safe
from avo_tui.store.errors import passes
from avo_tui.store.files import read_regular

NAME = "avo-bulletin"
SLOW_SECONDS = 10.0
"""Seconds after which a write that has not returned is reported as a disk that does not answer."""

_SINCE = struct.Struct("d")
_MAX_BYTES = 4096


class Bulletin:
    """The engine's side of the bulletin. Its methods never raise or block."""

    def __init__(self) -> None:
        """Create the file in memory; without it, `say` has no effect."""
        self._guard = threading.Lock()
        self._writes = 0
        self.descriptor: int | None = None
        """Number of the file's descriptor in this process; None if it could not be created."""
        with contextlib.suppress(OSError, AttributeError):
            self.descriptor = os.memfd_create(NAME, os.MFD_CLOEXEC)
            os.ftruncate(self.descriptor, _SINCE.size)

    def say(self, words: str) -> None:
        """Publish why the engine waits; an empty text means that it does not wait."""
        if self.descriptor is None:
            return
        text = words.encode("utf-8", "replace")[:_MAX_BYTES]
        with contextlib.suppress(OSError):
            os.pwrite(self.descriptor, text, _SINCE.size)
            os.ftruncate(self.descriptor, _SINCE.size + len(text))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Mark that a write is in progress, so that readers can detect one that never returns."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._guard:
            before, self._writes = self._writes, self._writes + change
            if self.descriptor is None or (before and self._writes):
                return
            since = time.monotonic() if self._writes else 0.0
            with contextlib.suppress(OSError):
                os.pwrite(self.descriptor, _SINCE.pack(since), 0)

    def close(self) -> None:
        """Close. May be called twice."""
        if self.descriptor is not None:
            descriptor, self.descriptor = self.descriptor, None
            with contextlib.suppress(OSError):
                os.close(descriptor)


def read_bulletin(pid: int, descriptor: int) -> str:
    """Why the engine `pid` of this machine waits for its disk; empty if it says nothing."""
    path = Path(f"/proc/{pid}/fd/{descriptor}")
    try:
        if not str(path.readlink()).startswith(f"/memfd:{NAME} "):
            return ""
        data = path.read_bytes()[: _SINCE.size + _MAX_BYTES]
    except OSError:
        return ""
    if len(data) < _SINCE.size:
        return ""
    words = data[_SINCE.size :].decode("utf-8", "replace")
    (since,) = _SINCE.unpack_from(data)
    # the one clock of this machine that nobody sets
    if not words and since and (seconds := time.monotonic() - since) > SLOW_SECONDS:
        began = datetime.fromtimestamp(time.time() - seconds).strftime("%H:%M:%S")
        return f"the disk does not answer: a write that began at {began} has not returned"
    return words


STALE_AFTER = 60.0
"""Seconds without a heartbeat after which an engine on another machine counts as dead."""

WATCH_SECONDS = 8.0
"""Seconds for which the time stamp of an engine on another machine is watched before it is taken to
be dead. An engine updates it every three."""

_NO_FLOCK = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.EPERM}
)
"""`errno` values that mean that the file system has no flock."""


def lease_of(lock: Path) -> Path:
    """The file that stands for a lock where the file system has none."""
    return lock.with_name("engine.lease")


_MAX_BYTES = 1 << 16
"""Largest engine.lock that is read, in bytes, because a folder from elsewhere may hold anything."""


class Holder(Value):
    """Who holds a lock or a lease, as its file says."""

    pid: Annotated[int, Field(gt=0)] | None = None
    host: Safe = ""
    since: Moment | None = None
    token: str = ""
    """Tells this holder from every other."""
    leased: bool = False
    """True where the file system has no flock, so that only the heartbeat tells whether it
    lives."""
    bulletin: int | None = None
    """Number of the file in the engine's memory that says what it waits for."""


class EngineStatus(Holder):
    """What is known of the engine of a session: whether it runs, where, and since when."""

    alive: bool
    heartbeat: Moment | None = None
    """Time of the last heartbeat; an old one of a living engine means that the process hangs."""
    waiting: str = ""
    """Why a living engine of this machine cannot write; "" where it can, or does not say."""
    unreadable: str = ""
    """Why engine.lock cannot be read for now, so that nothing is known; "" where it could be."""


def engine_status(path: Path) -> EngineStatus:
    """Whether the lock at `path` is held, and what its holder waits for. Never raises."""
    status = _status(path)
    here = status.alive and status.host == socket.gethostname()
    if here and status.pid is not None and status.bulletin is not None:
        return status.model_copy(update={"waiting": read_bulletin(status.pid, status.bulletin)})
    return status


def still_running(before: EngineStatus, now: EngineStatus) -> EngineStatus:
    """The status of an engine that was `before`, where `now` says that the lock cannot be read.

    A folder that is away for a while says nothing of its engine. On this machine the process is
    looked up; of an engine on another it is assumed that it waits for the folder as well.
    """
    here = before.host == socket.gethostname()
    if not before.alive or (here and not _runs(before)):
        return now
    waiting = f"the session folder cannot be read: {now.unreadable}"
    if here and before.pid is not None and before.bulletin is not None:
        waiting = read_bulletin(before.pid, before.bulletin) or waiting
    return before.model_copy(update={"waiting": waiting})


def _status(path: Path) -> EngineStatus:
    status = read_status(path)
    if status.unreadable:
        return status
    lease = read_status(lease_of(path))
    if status.pid is None and counts_as_alive(lease, lease_of(path)):
        return lease.model_copy(update={"alive": True})  # engine.lock was removed
    if status.leased or (status.host and status.host != socket.gethostname()):
        return status.model_copy(update={"alive": counts_as_alive(status, path)})
    return status.model_copy(update={"alive": _held(path) or _held(path.parent)})


def _held(path: Path) -> bool:
    """True if a file or folder is locked by another."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return try_flock(descriptor, fcntl.LOCK_SH) is False
    except OSError:
        return False
    finally:
        os.close(descriptor)


def try_flock(descriptor: int, kind: int) -> bool | None:
    """True: locked. False: another holds it. None: it cannot be locked here."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return None
        raise
    return True


def read_status(path: Path) -> EngineStatus:
    """What a lock or lease file says of its holder, `alive` not yet decided. Never raises."""
    try:
        beat = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        holder = Holder.model_validate_json(read_regular(path)[:_MAX_BYTES])
    except OSError as error:
        return EngineStatus(alive=False, unreadable=str(error.strerror) if passes(error) else "")
    except (ValueError, OverflowError):
        return EngineStatus(alive=False)
    return EngineStatus(alive=False, heartbeat=beat, **dict(holder))


def counts_as_alive(status: EngineStatus, path: Path) -> bool:
    """Whether an engine counts as alive on a file system without flock.

    On this host its process is looked up. For another host the last heartbeat must be recent. A
    time in the future beyond the usual difference of two clocks does not count as a heartbeat.
    """
    if status.pid is None:
        return False
    if status.host == socket.gethostname():
        return status.leased and _runs(status)
    return file_age(path) < STALE_AFTER


def still_beats(status: EngineStatus, path: Path) -> bool:
    """Whether the engine that wrote a lock or lease updates it, seen over `WATCH_SECONDS`.

    The clocks of two machines, or of a machine and a file server, may differ by more than
    `STALE_AFTER`, and that of this machine may have been set; that a time stamp changes says that
    its owner lives, whatever the clocks say.
    """
    if status.pid is None or (status.host == socket.gethostname() and not _began(status)):
        return False
    before, end = _stamp(path), time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        time.sleep(WATCH_SECONDS / 20)
        if _stamp(path) != before:
            return True
    return False


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _runs(status: EngineStatus) -> bool:
    """True if the process of this host that took the lock is still running."""
    if status.pid is None or status.pid == os.getpid():
        return status.pid is not None
    began = _began(status)
    if began is None or status.since is None or began <= status.since.timestamp() + 1.0:
        return began is not None
    # A process that began after the lock was taken merely has the same pid; but where the clock
    # was set since then, the system gives another time of its beginning.
    beat = status.heartbeat
    return beat is not None and abs(time.time() - beat.timestamp()) < STALE_AFTER


def _began(status: EngineStatus) -> float | None:
    """When the process with an engine's number began; None where there is none."""
    import psutil  # only a lock without flock, or an unreadable one, asks for it

    try:
        return psutil.Process(status.pid).create_time()
    except psutil.Error:
        return None


def file_age(path: Path) -> float:
    """Seconds between a file's time stamp and now, always positive; infinite for a missing file."""
    try:
        return abs(time.time() - path.stat().st_mtime)
    except OSError:
        return float("inf")
