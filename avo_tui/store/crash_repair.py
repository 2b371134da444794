"""Repairs what a crash left in a session folder, before a writer goes on in it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from avo_tui.store.database import Projection
from avo_tui.store.engine_presence import lease_of
from avo_tui.store.errors import StoreError, clear_errors
from avo_tui.store.files import (
    TEMPORARY,
    leftovers,
    make_private_folder,
    read_regular,
    remove,
    replace_file,
    set_aside,
)
from avo_tui.store.foreign_files import set_foreign_files_aside
from avo_tui.store.journal_repair import cut_torn_tail, unpack_part
from avo_tui.store.layout import Layout
from avo_tui.store.loading import Loaded
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


def remove_leftovers(layout: Layout) -> list[str]:
    """Repair what a crash leaves: half-written lines and temporary files.

    What stands in place of a file or folder of the session is moved aside.
    """
    done = set_foreign_files_aside(layout)
    with clear_errors(layout.folder, "mend"):
        for folder in (layout.journal, layout.objects, layout.inbox):
            make_private_folder(folder)
        for junk in (*leftovers(layout.folder), *leftovers(layout.journal), layout.live):
            remove(junk)
        parts = layout.parts()
        if parts and (unpacked := unpack_part(layout.part(parts[-1]))):
            done.append(unpacked)
        if parts and (cut := cut_torn_tail(layout.part(parts[-1]))):
            done.append(cut)
    return done


def keep_others_out(layout: Layout) -> None:
    """Make the newest part of the journal another file with the same lines.

    Where only a lease keeps engines apart, one that slept while its lease was taken over may have
    looked at it just before: what it still appends goes to a file that has no name any more.
    """
    path = max(map(layout.part, layout.parts()), default=None)
    if path is not None and path.is_file() and not path.is_symlink():
        with clear_errors(path, "copy"):
            replace_file(path, read_regular(path))


def open_tables(layout: Layout, loaded: Loaded) -> Projection:
    """Continue with the files as they are, or build them again where they are not usable."""
    # what is stale is written at once, and not after the next event
    applied = 0 if loaded.stale else loaded.tables or 0
    projection = Projection(layout, loaded.extent, applied)
    if loaded.tables is None:
        # a damaged file must not become session.json.previous
        with clear_errors(layout.database, "move aside"), contextlib.suppress(FileNotFoundError):
            set_aside(layout.database)
    projection.snapshot(loaded.state)  # packs what an older avo-tui left whole, before a run waits
    return projection
