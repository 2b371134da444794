"""Finds what stands in a session folder in place of its files or folders, and moves it aside.

A folder from elsewhere may hold a pipe, a device, a folder or a link where a session has a file.
Writing into it would block, fail, or change a file that is not part of the session.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from avo_tui.store.engine_presence import lease_of
from avo_tui.store.errors import StoreError, clear_errors
from avo_tui.store.files import file_kind, set_aside
from avo_tui.store.layout import Layout

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFREG: "a file",
}


@dataclass(frozen=True)
class Foreign:
    """Something that is not what a session has under that name."""

    path: Path
    kind: str
    """What it is, such as `a pipe`."""
    wanted: str
    """What a session has there: `a file` or `a folder`."""
    readable: bool = False
    """True for a part of the journal that is a link to a file: its events can be read, but it must
    not be written."""

    @property
    def sentence(self) -> str:
        where = self.path.name
        if self.readable:
            return f"{where} is a link to another file: put that file itself in its place"
        return f"{where} is {self.kind}, where a session has {self.wanted}"


def foreign_files(layout: Layout) -> list[Foreign]:
    """Everything foreign under the names of a session's files and folders. Raises StoreError.

    A folder may be a link to a folder, such as `objects` on a larger disk, and `records.pages` a
    link to a file, of which a writer makes a copy.
    """
    with clear_errors(layout.folder, "look into"):
        foreign = [_foreign(path, "a file") for path in _files(layout)]
        folders = (layout.journal, layout.objects, layout.inbox)
        foreign += [_foreign(path, "a folder") for path in folders]
    return [one for one in foreign if one is not None]


def set_foreign_files_aside(layout: Layout) -> list[str]:
    """Rename everything foreign; returns what was done. Raises DiskTrouble, or StoreError where the
    newest part of the journal is a link to a file, which a person has to replace."""
    done = []
    parts = layout.parts()
    for foreign in foreign_files(layout):
        if foreign.readable:
            if parts and foreign.path == layout.part(parts[-1]):
                raise StoreError(f"{foreign.path} is a link to another file: put that file itself "
                                 "in its place, and start again")  # fmt: skip
            continue
        with clear_errors(foreign.path, "move aside"):
            aside = set_aside(foreign.path)
        done.append(f"{foreign.sentence}: it is called {aside.name} now")
    return done


def _files(layout: Layout) -> list[Path]:
    single = [
        layout.database,
        layout.previous,
        layout.pages,
        layout.live,
        layout.reserve,
        layout.log,
        layout.devices,
        layout.workers,
        layout.lock,
        lease_of(layout.lock),
    ]
    return single + layout.irregular_parts()


def _foreign(path: Path, wanted: str) -> Foreign | None:
    kind, target = file_kind(path, follow=False), file_kind(path)
    right = target == stat.S_IFDIR if wanted == "a folder" else kind == stat.S_IFREG
    if kind is None or right:
        return None
    linked = wanted == "a file" and kind == stat.S_IFLNK and target == stat.S_IFREG
    if linked and path.name == Layout(path.parent).pages.name:
        return None
    readable = linked and path.parent.name == "journal"
    return Foreign(path, _KINDS.get(kind, "something else"), wanted, readable)
