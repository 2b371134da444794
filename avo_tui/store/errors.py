"""What can go wrong with a session folder. Each error is one clear sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StoreError(Exception):
    """Anything about a session folder that the caller can tell the person."""


class SessionNotFound(StoreError):  # noqa: N818 - a contract's name
    """There is no session of that name, or the folder is none."""


class SessionExists(StoreError):  # noqa: N818
    """The name is taken."""


class BadName(StoreError):  # noqa: N818
    """Not a name for a session."""


class SessionLocked(StoreError):  # noqa: N818
    """Another engine holds the session."""

    def __init__(self, pid: int | None, host: str, since: str) -> None:
        self.pid, self.host, self.since = pid, host, since
        who = f"process {pid} on {host}" if pid else "another process"
        when = f" since {since}" if since else ""
        super().__init__(
            f"the session is held by {who}{when}; attach to it, or stop that engine first"
        )


class NewerFormat(StoreError):  # noqa: N818
    """The folder was written by a newer avo-tui."""


class OlderFormat(StoreError):  # noqa: N818
    """The folder was written by an older avo-tui and was not migrated yet."""


class DamagedSession(StoreError):  # noqa: N818
    """Something in the folder cannot be read and nothing else restores it."""


class NoSpace(StoreError):  # noqa: N818
    """No room on the disk. Nothing was changed; the same call may be repeated later."""


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
        return NoSpace(f"no room to {doing} {path}: free some disk space")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return StoreError(f"not allowed to {doing} {path}: check who owns the folder")
    return StoreError(f"cannot {doing} {path}: {error.strerror or error}")
