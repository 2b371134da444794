"""Ensures that only one benchmark runs per device, over all sessions, first come first served."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.measuring_now import holder
from avo_tui.evaluation.paths import lock_file

_POLL_SECONDS = 0.1
_SAY_SECONDS = 2.0


@dataclass
class Waited:
    """How long a request waited for the lock, in seconds."""

    seconds: float = 0.0


class _Ticket:
    """A place in the queue: a file named by its time, locked while the one who waits is alive."""

    def __init__(self, queue: Path) -> None:
        self._queue = queue
        self.name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        hidden = queue / f".{self.name}"
        # Locked before it gets its name, so that a visible ticket without a lock belongs to a dead
        # process.
        self._file = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        hidden.rename(queue / self.name)

    def before(self) -> int:
        """Number of tickets that came earlier; tickets of dead processes are removed."""
        earlier = [
            entry.path
            for entry in os.scandir(self._queue)
            if not entry.name.startswith(".") and entry.name < self.name
        ]
        return sum(_held(path) for path in earlier)

    def give_up(self) -> None:
        """Leaves the queue."""
        (self._queue / self.name).unlink(missing_ok=True)
        os.close(self._file)


def _held(path: str) -> bool:
    """True while somebody alive holds the ticket; it is removed where nobody does."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Path(path).unlink(missing_ok=True)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(file)


def somebody_waits(device: str) -> bool:
    """Whether anybody alive waits for the device, or for a part or the whole of it."""
    return any(_tickets(lock_file(name).with_suffix(".queue")) for name, _ in _locks_of(device))


def _tickets(queue: Path) -> bool:
    try:
        return any(_held(e.path) for e in os.scandir(queue) if not e.name.startswith("."))
    except OSError:
        return False


@contextlib.contextmanager
def _queued(lock: Path) -> Iterator[_Ticket]:
    queue = lock.with_suffix(".queue")
    queue.mkdir(mode=0o700, exist_ok=True)
    ticket = _Ticket(queue)
    try:
        yield ticket
    finally:
        ticket.give_up()


@contextlib.asynccontextmanager
async def device_lock(
    device: str, progress: Callable[[EvaluationProgress], None]
) -> AsyncIterator[Waited]:
    """Holds the device's lock; says who is waited for, at once and every two seconds.

    `WHOLE:PART+PART`, such as `cpu:0+1`, are parts of a device: they exclude each other and the
    whole, but not other parts. Locks and the places in their queues are the kernel's, on open
    files: one who crashes, holding or waiting, releases them.
    """
    waited = Waited()
    async with contextlib.AsyncExitStack() as held:
        for name, shared in _locks_of(device):
            await held.enter_async_context(_one_lock(name, shared, waited, progress))
        if waited.seconds:
            progress(EvaluationProgress(stage="waiting", state="finished", seconds=waited.seconds))
        yield waited


def _locks_of(device: str) -> list[tuple[str, bool]]:
    """(name, whether it is shared) of the locks to take, in an order that all keep to."""
    whole, _, parts = device.partition(":")
    if not parts:
        return [(whole, False)]
    return [(whole, True), *((f"{whole}-{part}", False) for part in sorted(parts.split("+")))]


@contextlib.asynccontextmanager
async def _one_lock(
    name: str, shared: bool, waited: Waited, progress: Callable[[EvaluationProgress], None]
) -> AsyncIterator[None]:
    path = lock_file(name)
    lock: FileLock | _SharedLock = _SharedLock(path) if shared else FileLock(path)
    with _queued(path) as ticket:
        await _wait(name, path, lock, ticket, waited, progress)
    try:
        yield
    finally:
        lock.release()


class _SharedLock:
    """A lock that many may hold at once, while nobody holds the same file by `FileLock`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def acquire(self, blocking: bool = False) -> None:
        """Takes the lock. Raises Timeout where somebody holds it alone."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise Timeout(str(self._path)) from None
        self._file = file

    def release(self) -> None:
        """Gives it back."""
        os.close(self._file)


async def _wait(
    device: str,
    path: Path,
    lock: FileLock | _SharedLock,
    ticket: _Ticket,
    waited: Waited,
    progress: Callable[[EvaluationProgress], None],
) -> None:
    """Takes the lock once everybody who came earlier has had it; adds to the time waited."""
    began = time.monotonic()
    earlier = waited.seconds
    told = -_SAY_SECONDS
    while True:
        before = ticket.before()
        if not before:
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                return
        waited.seconds = earlier + time.monotonic() - began
        if waited.seconds - told >= _SAY_SECONDS:
            told = waited.seconds
            queue = f"; {before} more before this one" if before else ""
            detail = f"{device} is in use by {holder(path)}{queue}; waited {told:.0f} s"
            progress(EvaluationProgress(stage="waiting", state="started", detail=detail))
        await asyncio.sleep(_POLL_SECONDS)
