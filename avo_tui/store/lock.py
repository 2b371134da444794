"""The lock that lets one engine at a time write a session.

Two locks of the operating system (`flock`) are held: one on engine.lock, which also names its
holder, and one on the session folder, so that removing engine.lock does not free the session. Some
file systems have no `flock` (Lustre without it, some NFS). There a lease is used: a file that only
one process can create, and that counts as held while its owner updates it (the heartbeat).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import socket
import stat
import time
from pathlib import Path

from avo_tui.domain.base import now
from avo_tui.store.engine_presence import (
    Bulletin,
    EngineStatus,
    Holder,
    counts_as_alive,
    file_age,
    lease_of,
    read_status,
    still_beats,
    try_flock,
)
from avo_tui.store.errors import (
    FolderLost,
    NoSpace,
    SessionLocked,
    StoreError,
    as_store_error,
    clear_errors,
)
from avo_tui.store.files import TEMPORARY, open_own, read_regular, set_aside, write_temporary

log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds to keep trying for the lock, because a reader that tests it holds it for a moment."""

_TRIES = 10
"""Least number of tries; on a busy machine the time above may pass between two of them."""


class EngineLock:
    """Holds the lock of a session for one engine, and writes pid, host and time to engine.lock.

    The library filelock does not fit: it empties the file that it locks, so a process that fails to
    get the lock would erase what the holder wrote.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises SessionLocked, DiskTrouble or StoreError."""
        self.path = path
        self.left_behind: EngineStatus | None = None
        """The engine that ended without releasing, if that is how the lock was found."""
        self._token = secrets.token_hex(8)
        self._since = now()
        self._lease: Path | None = None
        self._folder_held = False
        """True where the folder is locked, so that no second engine can be in it."""
        self._introduced = False
        self.bulletin = Bulletin()
        """Where the engine says what it waits for, without a disk."""
        with clear_errors(path, "open"):
            self._descriptor = _open_lock(path)
            try:
                self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except BaseException:
                os.close(self._descriptor)
                raise
        try:
            self._acquire()
        except OSError as error:
            self._close()
            raise as_store_error(error, path, "lock") from error
        except BaseException:
            self._close()
            raise

    @property
    def leased(self) -> bool:
        """True where the file system has no flock, so that only the heartbeat keeps others out."""
        return self._lease is not None

    def remarks(self) -> list[str]:
        """Sentences for the person on how the lock was taken; mostly none."""
        remarks = []
        if self.leased:
            remarks.append(
                "this file system has no file locks: a lease with a heartbeat keeps a second "
                "engine out"
            )
        if (gone := self.left_behind) is not None:
            remarks.append(f"the engine {gone.pid} on {gone.host} ended without closing")
        return remarks

    def _acquire(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        tries = 1
        while (locked := self._try()) is False:
            if tries >= _TRIES and time.monotonic() > deadline:
                raise _locked(read_status(self.path))
            tries += 1
            time.sleep(0.02)
        before = read_status(self.path)
        if before.pid is not None:
            if counts_as_alive(before, self.path) or still_beats(before, self.path):
                raise _locked(before)
            self.left_behind = before.model_copy(update={"alive": False})
        if locked is None:
            self._take_lease()
        try:
            self._introduce()
        except NoSpace as error:  # a full disk: the lock is held, its holder not yet named
            log.warning("the lock does not say who holds it: %s", error)
            self._introduced = False

    def _try(self) -> bool | None:
        """True: locked. False: another holds it. None: this file system has no flock."""
        mine = try_flock(self._descriptor, fcntl.LOCK_EX)
        if mine is not True:
            return mine
        # some file systems lock files but not folders; the file is locked
        folder = try_flock(self._folder, fcntl.LOCK_EX)
        if folder is False:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            return False
        self._folder_held = folder is True
        return True

    def _introduce(self) -> None:
        """Write to engine.lock who holds the lock."""
        with clear_errors(self.path, "write"):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, self._words(leased=self.leased), 0)
        self._introduced = True

    def _words(self, *, leased: bool) -> bytes:
        holder = Holder(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=self._since,
            token=self._token,
            leased=leased,
            bulletin=self.bulletin.descriptor,
        )
        return holder.model_dump_json(exclude_defaults=True).encode()

    def _take_lease(self) -> None:
        """Create the lease file, which only one process can; first remove that of a dead engine."""
        lease = lease_of(self.path)
        fresh = write_temporary(self.path.parent, self._words(leased=True))
        try:
            for _ in range(_TRIES):
                try:
                    os.link(fresh, lease)
                except FileExistsError:
                    self._remove_dead_lease(lease)
                else:
                    self._lease = lease
                    return
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
                raise
            raise StoreError(
                f"{self.path.parent} is on a file system that has neither file locks nor hard "
                "links, so two engines could not be kept apart: keep sessions elsewhere, with "
                "AVO_SESSIONS=FOLDER"
            ) from error
        finally:
            fresh.unlink(missing_ok=True)
        raise _locked(read_status(self.path))

    def _remove_dead_lease(self, lease: Path) -> None:
        owner = _text(lease)
        # the lease says itself who holds it: engine.lock may have been removed, or be new
        status = read_status(lease)
        if counts_as_alive(status, lease) or file_age(lease) < _PATIENCE:
            raise _locked(status)
        if still_beats(status, lease):
            raise _locked(status)
        aside = lease.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
        with contextlib.suppress(FileNotFoundError):
            lease.rename(aside)
            if _text(aside) != owner:
                # another process created it first, so it belongs to a living engine
                with contextlib.suppress(FileExistsError):
                    os.link(aside, lease)
            aside.unlink(missing_ok=True)

    def heartbeat(self) -> None:
        """Update the time stamp by which others see that this engine lives.

        Raises FolderLost where folder or lock are no longer the ones that were opened. Any other
        failure is ignored, because the next heartbeat tries again.
        """
        try:
            os.utime(self._descriptor)
            if self._lease is not None:
                os.utime(self._lease)
        except OSError as error:
            log.debug("no heartbeat: %s", error)
        if not self._introduced:
            with contextlib.suppress(StoreError):
                self._introduce()
        self.check()

    def check(self) -> None:
        """Raises FolderLost where folder or lock are no longer the ones that were taken.

        A lock file that was merely removed is put back: the lock on the folder still holds.
        """
        if self._descriptor < 0:
            return
        if _same(self.path.parent, self._folder) is False:
            raise FolderLost(
                f"{self.path.parent} is no longer the folder that this engine opened: it was "
                "moved, removed or unmounted. Nothing more is written"
            )
        if _same(self.path, self._descriptor) is False:
            self._put_back()
        if self._lease is not None and _owner(self._lease) not in {self._token, None}:
            raise FolderLost(f"{self.path.parent} was taken over by another engine")

    def _put_back(self) -> None:
        """Make engine.lock ours again; what a refused second engine left there is taken over."""
        try:
            fresh = self._open_put_back()
        except OSError as error:
            log.debug("the lock cannot be put back yet: %s", error)
            return
        if not self.leased and try_flock(fresh, fcntl.LOCK_EX) is False:
            os.close(fresh)
            if self._folder_held:  # it asks only, and is refused: the next beat will tell
                return
            raise self._another()
        os.close(self._descriptor)
        self._descriptor = fresh
        with contextlib.suppress(StoreError):
            self._introduce()

    def _open_put_back(self) -> int:
        """engine.lock, anew. Raises FolderLost where another engine may have it, and OSError."""
        try:
            return open_own(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            ours = self._folder_held or (
                self._lease is not None and _owner(self._lease) == self._token
            )
            if not ours:
                raise self._another() from None
        return open_own(self.path, os.O_RDWR)

    def _another(self) -> FolderLost:
        return FolderLost(f"{self.path} is another engine's by now. Nothing more is written")

    def release(self) -> None:
        """Release the lock. May be called twice."""
        if self._descriptor < 0:
            return
        try:
            with clear_errors(self.path, "write"):
                os.ftruncate(self._descriptor, 0)
            if self._lease is not None and _owner(self._lease) == self._token:
                with clear_errors(self._lease, "remove"):
                    self._lease.unlink(missing_ok=True)
        finally:
            self._close()

    def abandon(self) -> None:
        """Forget the lock without touching the folder: it may be another engine's by now."""
        self._close()

    def _close(self) -> None:
        for descriptor in (self._descriptor, self._folder):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._descriptor = self._folder = -1
        self.bulletin.close()


def _open_lock(path: Path) -> int:
    """engine.lock, created if it is missing. What is no regular file is set aside first.

    Raises OSError.
    """
    try:
        return open_own(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        if not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode):
            raise
        log.warning("%s was no file and is called %s now", path, set_aside(path).name)
        return open_own(path, os.O_RDWR | os.O_CREAT)


def _same(path: Path, descriptor: int) -> bool | None:
    """Whether `path` is still the file that was opened; None where that cannot be told now."""
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    try:
        mine = os.fstat(descriptor)
    except OSError:
        return None
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _owner(lease: Path) -> str | None:
    """The token of whoever holds a lease; None where it cannot be read, "" where it says none."""
    text = _text(lease)
    if text is None:
        return None
    try:
        return Holder.model_validate_json(text).token
    except ValueError:
        return ""


def _text(path: Path) -> str | None:
    try:
        return read_regular(path).decode(errors="replace")
    except OSError:
        return None


def _locked(status: EngineStatus) -> SessionLocked:
    since = status.since.isoformat(timespec="seconds") if status.since else ""
    return SessionLocked(status.pid, status.host, since)
