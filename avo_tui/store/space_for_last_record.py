"""Disk space held back, so that a full disk can still be recorded."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from avo_tui.store.errors import StoreError, clear_errors
from avo_tui.store.files import open_own

log = logging.getLogger(__name__)

RESERVE_BYTES = 256 << 10
"""Size of the reserve, bytes."""


class Reserve:
    """A file without content that occupies disk space until the space is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
        """Whether the space is held back now."""
        try:
            self._path.stat()
        except OSError:
            return False
        return True

    def hold(self) -> None:
        """Take the space if the disk has it; a disk that has not is no error."""
        try:
            descriptor = open_own(self._path, os.O_WRONLY | os.O_CREAT)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.debug("no space held back: %s", error)
            with contextlib.suppress(StoreError):  # a disk that is away refuses this as well
                self.drop()

    def drop(self) -> None:
        """Give the space free. Raises DiskTrouble or StoreError."""
        with clear_errors(self._path, "remove"), contextlib.suppress(IsADirectoryError):
            self._path.unlink(missing_ok=True)  # a folder of that name holds no space of ours
