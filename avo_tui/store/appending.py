"""A file that is only appended to, and that holds whole records even after a failed write."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from avo_tui.store.errors import FolderLost, as_store_error, clear_errors
from avo_tui.store.files import open_own, sync_folder, write_all

_FLAGS = os.O_WRONLY | os.O_APPEND


class AppendFile:
    """Appends whole records. One writer.

    What was appended since the last sync is kept in memory: a failing fsync may have dropped it
    from the cache of the machine, and a second fsync would then report success for nothing. After
    any failure the file is opened anew, cut back to its durable part, and the rest written again.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, creating it if it is missing. Raises DiskTrouble or StoreError."""
        self.path = path
        with clear_errors(path, "open"):
            fresh = not path.exists()
            self._descriptor = open_own(path, _FLAGS | os.O_CREAT)
            try:
                if fresh:
                    sync_folder(path.parent)
                status = os.fstat(self._descriptor)
            except BaseException:
                os.close(self._descriptor)
                raise
        self.size = status.st_size
        self._inode = status.st_ino
        self._counts_names = status.st_nlink > 0
        """False on a file system that does not say how many names a file has."""
        self._durable = self.size
        """Bytes of the file that are known to survive a power cut, or were there when it was
        opened."""
        self._unsynced = bytearray()
        """Bytes appended after the durable part."""
        self._doubtful = False
        """True after a failure, until the file was mended."""

    @property
    def deleted(self) -> bool:
        """Whether the file has no name any more, so that all of it goes when it is closed."""
        return self._counts_names and os.fstat(self._descriptor).st_nlink == 0

    @property
    def unsynced(self) -> bool:
        """Whether something was appended that would be lost in a power cut."""
        return bool(self._unsynced) or self._doubtful

    def append(self, data: bytes, durable: bool) -> None:
        """Add `data`; durable on return if asked for.

        On an error the file holds what it held before, or will once the disk is well again.
        Raises DiskTrouble or StoreError.
        """
        try:
            if self._doubtful:
                self._mend()
            write_all(self._descriptor, data)
            if durable:
                os.fdatasync(self._descriptor)
        except OSError as error:
            self._doubtful = True
            with contextlib.suppress(OSError):
                # a reader would otherwise see a part of a record, or one that was not accepted
                os.ftruncate(self._descriptor, self.size)
            raise as_store_error(error, self.path, "append to") from error
        self.size += len(data)
        self._unsynced += data
        if durable:
            self._settle()

    def sync(self) -> None:
        """Make everything durable. Raises DiskTrouble or StoreError."""
        if not self._unsynced and not self._doubtful:
            return
        try:
            if self._doubtful:
                self._mend()
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._doubtful = True
            raise as_store_error(error, self.path, "append to") from error
        self._settle()

    def cut(self, size: int) -> None:
        """Drop what lies behind byte `size` of a file to which nothing was appended yet.

        Raises DiskTrouble or StoreError.
        """
        with clear_errors(self.path, "cut"):
            os.ftruncate(self._descriptor, size)
        self.size = self._durable = size

    def _settle(self) -> None:
        self._durable = self.size
        self._unsynced.clear()

    def _mend(self) -> None:
        """Cut the file to its durable part and write the rest again.

        Raises OSError or FolderLost.
        """
        try:
            descriptor = open_own(self.path, _FLAGS)
        except FileNotFoundError:
            raise FolderLost(f"{self.path} is gone: nothing more is written there") from None
        try:
            status = os.fstat(descriptor)
            if status.st_ino != self._inode or status.st_size < self._durable:
                raise FolderLost(f"{self.path} is another file by now: nothing is written there")
            os.ftruncate(descriptor, self._durable)
            write_all(descriptor, bytes(self._unsynced))
            os.fdatasync(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._settle()
        self._doubtful = False

    def close(self) -> None:
        """Make everything durable and close. May be called twice."""
        if self._descriptor < 0:
            return
        try:
            self.sync()
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):  # all of it is durable or was refused already
                os.close(descriptor)

    def abandon(self) -> None:
        """Close without writing anything more: the file may belong to another process by now."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):
                os.close(descriptor)
