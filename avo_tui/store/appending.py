"""A file that only grows, and is as it was when growing fails."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from avo_tui.store.errors import as_store_error, clear_errors
from avo_tui.store.files import sync_folder, write_all


class AppendFile:
    """Appends whole records. One writer."""

    def __init__(self, path: Path) -> None:
        """Open, and create if need be. Raises NoSpace or StoreError."""
        self.path = path
        with clear_errors(path, "open"):
            fresh = not path.exists()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o600)
            try:
                if fresh:
                    sync_folder(path.parent)
                self.size = os.fstat(self._descriptor).st_size
            except BaseException:
                os.close(self._descriptor)
                raise
        self._synced = True

    def append(self, data: bytes, durable: bool) -> None:
        """Add `data`; durable on return if asked for.

        On an error the file is as it was. Raises NoSpace or StoreError.
        """
        try:
            write_all(self._descriptor, data)
            if durable:
                os.fdatasync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise as_store_error(error, self.path, "append to") from error
        self.size += len(data)
        self._synced = durable

    def sync(self) -> None:
        """Make everything durable. Raises NoSpace or StoreError."""
        if not self._synced:
            with clear_errors(self.path, "append to"):
                os.fdatasync(self._descriptor)
            self._synced = True

    def close(self) -> None:
        """Make everything durable and close. May be called twice."""
        if self._descriptor < 0:
            return
        try:
            self.sync()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1
