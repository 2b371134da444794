"""Private folders in which one evaluation each writes."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from avo_tui.evaluation.sandbox.policy import SandboxError


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A private folder for one evaluation, removed afterwards with all that is in it."""
    try:
        base = Path(tempfile.mkdtemp(prefix=f"avo-{os.getpid()}-", dir=scratch_base()))
    except OSError as error:
        raise SandboxError(
            f"no scratch folder can be made in {scratch_base()} ({error.strerror}); set "
            "AVO_SCRATCH to a folder that can be written"
        ) from error
    try:
        base.chmod(0o711)
        folder = base / "scratch"
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        remove_tree(base)


def scratch_base() -> str:
    """Where scratch folders are made."""
    return os.environ.get("AVO_SCRATCH") or tempfile.gettempdir()


def sweep() -> int:
    """Removes scratch folders of workers that are gone; returns how many."""
    removed = 0
    for folder in Path(scratch_base()).glob("avo-*-*"):
        owner = folder.name.split("-")[1]
        try:
            mine = folder.stat().st_uid == os.geteuid()
        except FileNotFoundError:
            continue
        if mine and owner.isdigit() and not Path("/proc", owner).exists():
            remove_tree(folder)
            removed += 1
    return removed


def remove_tree(folder: Path) -> None:
    """Removes a folder even if what ran in it closed parts of it to its owner."""
    if not folder.exists():
        return
    for path, names, _ in os.walk(folder, topdown=True):
        for inner in (Path(path, name) for name in names):
            if not inner.is_symlink():
                with contextlib.suppress(OSError):
                    inner.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def give(folder: Path, user: int) -> None:
    """Makes `user` the owner of a scratch folder and what was prepared in it."""
    os.chown(folder, user, user)
    for path, names, files in os.walk(folder):
        for name in (*names, *files):
            os.lchown(Path(path, name), user, user)
