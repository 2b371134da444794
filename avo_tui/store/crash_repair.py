"""Repairs what a crash left in a session folder, before a writer goes on in it."""

from __future__ import annotations

import contextlib

from avo_tui.store.database import Projection
from avo_tui.store.errors import clear_errors
from avo_tui.store.files import (
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
