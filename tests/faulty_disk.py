"""A disk whose calls fail for a while, and the calls and errors it is tried with."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ERRORS = (errno.EIO, errno.ESTALE, errno.EROFS, errno.EMFILE, errno.ENOSPC, errno.ETIMEDOUT)
CALLS = ("write", "fdatasync", "fsync", "open", "replace", "rename", "link", "ftruncate", "mkdir")


@contextlib.contextmanager
def failing(call: str, code: int, folder: Path, after: int = 0) -> Iterator[list[int]]:
    """Let `os.CALL` under `folder` fail, from the call numbered `after` on. Yields the count."""
    real: Callable[..., Any] = getattr(os, call)
    count = [0]

    def ours(first: object) -> bool:
        if isinstance(first, int):
            with contextlib.suppress(OSError):
                return str(Path(f"/proc/self/fd/{first}").readlink()).startswith(str(folder))
            return False
        return str(first).startswith(str(folder))

    def broken(first: Any, *rest: Any, **more: Any) -> Any:
        if not ours(first):
            return real(first, *rest, **more)
        if call == "open" and not (rest and rest[0] & (os.O_WRONLY | os.O_RDWR)):
            return real(first, *rest, **more)
        count[0] += 1
        if count[0] <= after:
            return real(first, *rest, **more)
        if call == "write" and code == errno.ENOSPC and len(rest[0]) > 1:
            real(first, bytes(rest[0])[: len(rest[0]) // 2])  # a part may well have gone through
        raise OSError(code, os.strerror(code), str(first))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, broken)
        yield count
