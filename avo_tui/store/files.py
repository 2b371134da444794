"""Writing files so that a crash leaves the old or the new content, never a part."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import shutil
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

from avo_tui.store.errors import StoreError, clear_errors

log = logging.getLogger(__name__)

NOT_REGULAR = "it is not a regular file"

LARGEST: Final = 256 << 20
"""Most bytes of a file that is read as a whole: one with a hole could promise any number."""

_TWO_ENDED = frozenset({stat.S_IFSOCK, stat.S_IFIFO})
"""Kinds of file that answer ENXIO to `open` where nobody is at the other end."""

TEMPORARY = ".tmp-"
"""Temporary files get names with this prefix. One that is left over after a crash can be
deleted."""


def make_private_folder(path: Path, *, parents: bool = False) -> None:
    """Create a folder that only its owner may enter; `parents` get the usual permissions.

    Without `parents`, a missing parent folder is an error: a session folder that was moved away
    must not be created again by someone who writes a file into it.
    """
    if parents:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(
                errno.ENOTDIR, f"{path.parent} is no folder", str(path.parent)
            ) from None
    path.mkdir(mode=0o700, exist_ok=True)


def file_kind(path: Path, *, follow: bool = True) -> int | None:
    """The kind of file that `path` names, as `stat.S_IFMT` gives it; None where there is none.

    Raises OSError.
    """
    try:
        return stat.S_IFMT(path.stat(follow_symlinks=follow).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENAMETOOLONG}:
            return None
        raise


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading. Raises OSError at once for a pipe, a device or a folder.

    Opening a pipe the ordinary way would block until something writes to it.
    """
    return os.fdopen(_open(path, os.O_RDONLY), "rb")


def open_own(path: Path, flags: int, folder: int | None = None) -> int:
    """Open a regular file for writing, with `os.open`'s `flags`; a new one is private.

    Raises OSError at once for a pipe, a device, a socket, a folder, and for a link: what a link
    points to is not part of the session and must not be written. `folder` is the descriptor of the
    folder that `path` is relative to, if it is not the working folder.
    """
    return _open(path, flags | os.O_NOFOLLOW, folder)


def _open(path: Path, flags: int, folder: int | None = None) -> int:
    flags |= os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise OSError(errno.ELOOP, "it is a link to another file", str(path)) from error
        if error.errno == errno.ENXIO and folder is None and file_kind(path) in _TWO_ENDED:
            raise OSError(errno.EINVAL, NOT_REGULAR, str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR, str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path) -> bytes:
    """All of a file. Raises OSError as `open_regular`, and for a file larger than `LARGEST`."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise OSError(errno.EOVERFLOW, f"it is larger than {LARGEST >> 20} MiB", str(path))
        return file.read(LARGEST)


def sync_folder(path: Path) -> None:
    """Sync a folder, so that its file names survive a crash, where the file system can do that."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # some network and FUSE file systems refuse fsync of a folder
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte. Raises OSError; the file may then hold a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_temporary(folder: Path, data: bytes) -> Path:
    """A new private, durable file in `folder`, to be renamed. Raises OSError and leaves nothing."""
    path = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return path


def replace_file(path: Path, data: bytes, keep: Path | None = None) -> None:
    """Replace the content of `path` atomically and durably; the old content is kept at `keep`."""
    fresh = write_temporary(path.parent, data)
    try:
        if keep is not None:
            _keep_generation(path, keep)
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    sync_folder(path.parent)


def _keep_generation(path: Path, keep: Path) -> None:
    """Link `keep` to the content that `path` has now; `path` itself is never missing."""
    second = keep.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
    try:
        os.link(path, second)
    except FileNotFoundError:
        return
    except OSError:
        # no hard links here: for a moment only `keep` exists, which readers then use
        path.replace(keep)
        return
    try:
        second.replace(keep)
    except BaseException:
        with contextlib.suppress(OSError):
            second.unlink()
        raise


def set_aside(path: Path) -> Path:
    """Rename a file or folder to NAME.damaged, or NAME.damaged-2 and so on where such a name is
    taken; returns the new path. A link is renamed, not what it points to. Raises OSError."""
    aside = name_aside(path)
    path.rename(aside)
    return aside


def name_aside(path: Path) -> Path:
    """The name that `set_aside` gives to a path."""
    aside = path.with_name(f"{path.name}.damaged")
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    return aside


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """Temporary files and folders that a crash left in `folder`."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(TEMPORARY)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno == errno.ELOOP:
            return []
        raise
    return [folder / name for name in sorted(names)]


RESERVE_BYTES = 256 << 10
"""Size of the reserve, bytes."""


class Reserve:
    """A file without content that occupies disk space until the space is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
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
