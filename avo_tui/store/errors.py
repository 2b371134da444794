"""Errors of a session folder. The text of each is one sentence for the person."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_PASSING = frozenset(
    {
        errno.EIO,
        errno.EREMOTEIO,
        errno.ESTALE,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.ENOLCK,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.ETIMEDOUT,
        errno.ENXIO,
        errno.ENODEV,
        errno.ENOTCONN,
        errno.ECONNRESET,
        errno.ECONNREFUSED,
        errno.ECONNABORTED,
        errno.ESHUTDOWN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
    }
)
"""`errno` values of errors that may pass without intervention: a file server that does not answer,
a file system that became read-only, too many open files."""


class StoreError(Exception):
    """Base class of the errors of a session folder; the text can be shown to the person."""


class SessionNotFound(StoreError):  # noqa: N818 - a contract's name
    """There is no session of that name, or the folder is none."""


class SessionExists(StoreError):  # noqa: N818
    """The name is taken."""


class BadName(StoreError):  # noqa: N818
    """The text is not allowed as the name of a session."""


class SessionLocked(StoreError):  # noqa: N818
    def __init__(self, pid: int | None, host: str, since: str) -> None:
        self.pid, self.host, self.since = pid, host, since
        who = f"process {pid} on {host}" if pid else "another process"
        when = f" since {since}" if since else ""
        super().__init__(
            f"the session is held by {who}{when}; attach to it, or stop that engine first"
        )


class NewerFormat(StoreError):  # noqa: N818
    """The folder was written by a newer avo-tui."""


class DamagedSession(StoreError):  # noqa: N818
    """A file of the session cannot be read, and no other file can restore it."""

    def __init__(self, fact: str, remedy: str = "") -> None:
        self.fact = fact
        """What is damaged, without what to do about it, as `avo doctor` tells it."""
        super().__init__(f"{fact}; {remedy}" if remedy else fact)

    def __str__(self) -> str:
        """The sentence; those that are a KeyError, too, would have it in quotes."""
        return str(self.args[0])


class MissingObject(DamagedSession, KeyError):  # noqa: N818
    """An object that the session speaks of is not in its folder."""


class DiskTrouble(StoreError):  # noqa: N818
    """The disk refuses for now. Nothing was changed, and the same call may be repeated later.

    The writer of a session waits and tries again, because a short failure of a file server must not
    end a run.
    """

    def __init__(self, sentence: str, path: Path | None = None) -> None:
        """`path`: what could not be read or written, where that is one file."""
        super().__init__(sentence)
        self.path = path


class UnreadableNow(DamagedSession, DiskTrouble):
    """A file cannot be read at the moment, because its disk or file server does not answer.

    A viewer shows it as damaged and reads on; an engine, to which what it cannot read may be the
    end of its record, waits for the disk instead.
    """

    def __init__(self, fact: str, path: Path) -> None:
        super().__init__(fact)
        self.path = path


class NoSpace(DiskTrouble):
    """No room on the disk."""


class NotAllowed(DiskTrouble):
    """The permissions of a file or folder forbid it.

    In the middle of a run this is mostly an expired ticket of a file server, or a folder whose
    owner was changed by mistake: the run waits until a person has mended it.
    """


class FolderLost(StoreError):  # noqa: N818
    """The session folder or its lock is no longer the one that was opened.

    It was moved, removed, unmounted, or another folder stands in its place. Whoever held it must
    stop writing at once: every further write would go astray.
    """


def passes(error: OSError) -> bool:
    """Whether an OSError may pass without intervention, such as an unreachable file server."""
    return error.errno in _PASSING or error.errno in _NO_ROOM


def may_pass(error: OSError) -> bool:
    """Whether an engine waits for an OSError to pass: `passes`, and missing permission."""
    return passes(error) or isinstance(error, PermissionError)


def unreadable(error: OSError, path: Path, what: str, remedy: str = "") -> DamagedSession:
    """The error to raise where `what`, which is the file `path`, could not be read."""
    fact = f"{what} cannot be read: {error.strerror or error}"
    return UnreadableNow(fact, path) if may_pass(error) else DamagedSession(fact, remedy)


@contextmanager
def clear_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError about `path` into a StoreError with one sentence."""
    try:
        yield
    except OSError as error:
        raise as_store_error(error, path, doing) from error


def as_store_error(error: OSError, path: Path, doing: str) -> StoreError:
    """The sentence for an OSError that happened while `doing` something with `path`."""
    if error.errno in _NO_ROOM:
        return NoSpace(f"no room to {doing} {path}: free some disk space", path)
    if error.errno in _PASSING:
        return DiskTrouble(f"cannot {doing} {path} for now: {error.strerror or error}", path)
    if isinstance(error, PermissionError):
        return NotAllowed(f"not allowed to {doing} {path}: check who owns the folder", path)
    return StoreError(f"cannot {doing} {path}: {error.strerror or error}")
