"""The folder that an export is written to. It appears complete, or not at all after an error."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avo_tui.domain.base import Value
from avo_tui.user_paths import from_home


class ExportError(ValueError):
    """The export cannot be made; the text says why and what to do."""


class Exported(Value):
    """What was written."""

    folder: Path
    files: tuple[str, ...]
    """The important files, relative to the folder."""
    versions: tuple[int, ...]
    """Numbers of the exported versions, ascending."""


def require_new(target: Path) -> None:
    """Raises ExportError where no folder `target` can be made, before any work is done for it."""
    target = from_home(target).absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ExportError(f"{target} is there already and is no folder; choose another place")
    if target.is_dir() and any(target.iterdir()):
        raise ExportError(f"{target} is not empty; choose another folder, or clear it first")
    there = next(parent for parent in target.parents if parent.exists())
    if not there.is_dir():
        raise ExportError(f"{target} cannot be made: {there} is no folder; choose another place")
    try:
        with tempfile.TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        why = error.strerror or str(error)
        raise ExportError(
            f"{target} cannot be made: {why} in {there}; choose another place"
        ) from error


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `target` when the block ends without an error.

    Raises ExportError where `target` is a file, or a folder that holds something.
    """
    require_new(target)
    target = from_home(target).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    # beside the target, so that the last step is a rename
    staging_folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        staging_folder.chmod(0o777 & ~_mask())
        yield staging_folder
        staging_folder.replace(target)
    except BaseException:
        shutil.rmtree(staging_folder, ignore_errors=True)
        raise


def _mask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write(folder: Path, name: str, text: str) -> None:
    """Write a text file below a folder, without converting line ends."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def write_bytes(folder: Path, name: str, data: bytes) -> None:
    """Write a binary file below a folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
