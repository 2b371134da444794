"""Ensures that only one benchmark runs per device, over all sessions, first come first served; and
tells who measures on this machine now, by the locks that measurements hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.paths import lock_file
from avo_tui.evaluation.ports import ProgressSink

ENGINE_LOCK = "engine.lock"
"""Name of the file in a session's folder that its engine keeps open; see `store.layout`."""

_LOCKS = Path("/proc/locks")


def measuring_text(locks: Path = _LOCKS) -> str:
    """Which devices are in use by whom, in a phrase; "" if none is, or the system does not tell.

    Nothing is locked to find out, so nobody who waits for a device is disturbed. `locks` is the
    list of held locks as Linux gives it.
    """
    try:
        held = _held(locks.read_text())
        folder = lock_file("any").parent
        files = sorted(folder.glob("*.lock"))
    except (OSError, ValueError):
        return ""
    phrases = []
    for file in files:
        try:
            number = file.stat().st_ino
        except OSError:
            continue
        if number in held:
            phrases.append(f"{file.stem} is in use by {_who(held[number])}{_waiting(file, held)}")
    return "; ".join(phrases)


def holder(lock: Path, locks: Path = _LOCKS) -> str:
    """Who holds a lock; of several that share it, one that does not wait for a further lock."""
    try:
        held = _held(locks.read_text())
        tickets = [e.inode() for queue in lock.parent.glob("*.queue") for e in os.scandir(queue)]
        sharing = held.get(lock.stat().st_ino, [])
    except (OSError, ValueError):
        return "another process"
    waiting = {process for ticket in tickets for process in held.get(ticket, [])}
    known = [p for p in sharing if p > 0]
    measuring = [p for p in known if p not in waiting] or known
    return _who(measuring[:1])


def _held(text: str) -> dict[int, list[int]]:
    """Number of each file that is locked by flock → the processes that hold it."""
    held: dict[int, list[int]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK":
            held.setdefault(int(words[5].rpartition(":")[2]), []).append(int(words[4]))
    return held


def _who(processes: Sequence[int]) -> str:
    """The session that the last of these measures for, where that can be seen, else its number."""
    if not processes or processes[-1] <= 0:  # of another container, say
        return "another process"
    process = processes[-1]
    session = _session(process)
    return f"session {session} (process {process})" if session else f"process {process}"


def _session(process: int) -> str:
    """Name of the session whose engine started a process; "" if that cannot be seen.

    However the engine was started, it keeps its lock in the session's folder open.
    """
    try:
        status = Path(f"/proc/{process}/stat").read_text()
        parent = int(status.rpartition(")")[2].split()[1])
        for file in Path(f"/proc/{parent}/fd").iterdir():
            with contextlib.suppress(OSError):
                path = file.readlink()
                if path.name == ENGINE_LOCK:
                    return path.parent.name
    except (OSError, ValueError, IndexError):
        pass
    return ""


def _waiting(file: Path, held: Mapping[int, Sequence[int]]) -> str:
    """How many wait for a device: the tickets in its queue that somebody alive holds."""
    try:
        tickets = [entry.inode() for entry in os.scandir(file.with_suffix(".queue"))]
    except OSError:
        return ""
    count = sum(ticket in held for ticket in tickets)
    return f", {count} more waiting" if count > 0 else ""


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
        self.name = f"{time.monotonic_ns():020d}-{secrets.token_hex(4)}"
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
        return sum(_is_held(path) for path in earlier)

    def give_up(self) -> None:
        (self._queue / self.name).unlink(missing_ok=True)
        os.close(self._file)


def _is_held(path: str) -> bool:
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
        return any(_is_held(e.path) for e in os.scandir(queue) if not e.name.startswith("."))
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


KEPT_SECONDS = 3.0
"""Seconds for which the lock is kept for the next request of a call: time to compile a variant."""

FAIR_SECONDS = 60.0
"""Seconds after which a call gives the device away between two requests, if somebody waits for
it. It then waits for its turn like everybody else."""


class KeptDevice:
    """The device's lock of one worker, kept from one request of a call to the next.

    Who compares ten variants asks the worker ten times. Without this each of them would wait at the
    end of the queue again, behind whoever else measures on the device.
    """

    def __init__(self, kept: float = KEPT_SECONDS, fair: float = FAIR_SECONDS) -> None:
        self._kept_seconds = kept
        self._fair_seconds = fair
        self._device = ""
        self._held: AsyncExitStack | None = None
        self._since = 0.0
        self._expiry: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def hold(
        self, device: str, progress: ProgressSink, *, more: bool = False
    ) -> AsyncIterator[Waited]:
        """Hold the lock, the one that the request before has left if it is of the same device.

        `more`: another request of the same call follows, so the lock is kept for it for a moment,
        unless somebody waits and the call has had the device for long enough.
        """
        await self._stop_expiry()
        if self._held is not None and self._device == device:
            waited = Waited()
        else:
            await self.release()
            held = AsyncExitStack()
            waited = await held.enter_async_context(device_lock(device, progress))
            self._device, self._held, self._since = device, held, time.monotonic()
        keep = False
        try:
            yield waited
            keep = more and not self._had_enough()
        finally:
            if keep:
                self._expiry = asyncio.create_task(self._expire(), name="kept device")
            else:
                await self.release()

    async def release(self) -> None:
        """Give the device away now; does nothing where none is held."""
        await self._stop_expiry()
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()

    def _had_enough(self) -> bool:
        long = time.monotonic() - self._since >= self._fair_seconds
        return long and somebody_waits(self._device)

    async def _expire(self) -> None:
        await asyncio.sleep(self._kept_seconds)
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()

    async def _stop_expiry(self) -> None:
        expiry, self._expiry = self._expiry, None
        if expiry is not None:
            expiry.cancel()
            await asyncio.gather(expiry, return_exceptions=True)
