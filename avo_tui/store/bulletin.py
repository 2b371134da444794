"""Lets an engine report, without using a disk, that it waits for its disk, and why.

A session folder on a disk that accepts no writes cannot hold the reason why its run stands still.
The engine keeps the reason in a file in memory (`memfd_create`), whose number is in engine.lock;
processes of the same user on the same machine read it through /proc. On other machines, and without
/proc, the reason is not available.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

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
            since = time.time() if self._writes else 0.0
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
    if not words and since and time.time() - since > SLOW_SECONDS:
        began = datetime.fromtimestamp(since).strftime("%H:%M:%S")
        return f"the disk does not answer: a write that began at {began} has not returned"
    return words
