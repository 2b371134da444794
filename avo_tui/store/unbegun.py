"""Removes what is left of a session whose creation was cut short by a kill or a power cut."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from avo_tui.store.engine_presence import lease_of
from avo_tui.store.errors import StoreError, clear_errors
from avo_tui.store.files import TEMPORARY, read_regular
from avo_tui.store.layout import Layout
from avo_tui.store.lock import EngineLock


def remove_unbegun(folder: Path) -> bool:
    """Remove a folder in which the creation of a session was begun and no event was recorded.

    Returns whether it was removed: a folder with anything else in it, or one that another process
    holds, stays. Raises StoreError.
    """
    layout = Layout(folder)
    if not _unbegun(layout):
        return False
    lock = EngineLock(layout.lock)
    try:
        if not _unbegun(layout):  # another process went on with it meanwhile
            return False
        with clear_errors(folder, "remove"):
            shutil.rmtree(folder)
    finally:
        with contextlib.suppress(StoreError):
            lock.release()
    return True


def _unbegun(layout: Layout) -> bool:
    """Whether the folder holds no more than the creation of a session puts there before the first
    event: the lock or the lease that stands for it, folders, objects, and at most a part of one
    line of the journal."""
    folder = layout.folder
    locks = {layout.lock, lease_of(layout.lock)}
    folders = {layout.journal, layout.objects, layout.inbox}
    with clear_errors(folder, "look into"):
        if folder.is_symlink() or not folder.is_dir():
            return False
        for path in folder.iterdir():
            if path not in folders | locks and not path.name.startswith(TEMPORARY):
                return False
        if any(path.is_symlink() for path in folders):
            return False
        if layout.inbox.is_dir() and any(layout.inbox.iterdir()):
            return False
        parts = list(layout.journal.iterdir()) if layout.journal.is_dir() else []
        return all(p == layout.part(0) and b"\n" not in read_regular(p) for p in parts)
