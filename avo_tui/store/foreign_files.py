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
from avo_tui.store.files import set_aside
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
        foreign = [_not_a_file(path) for path in _files(layout)]
        foreign += [_not_a_folder(p) for p in (layout.journal, layout.objects, layout.inbox)]
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


def _not_a_file(path: Path) -> Foreign | None:
    kind = _kind(path, follow=False)
    if kind in {None, stat.S_IFREG}:
        return None
    readable = False
    if kind == stat.S_IFLNK and _kind(path, follow=True) == stat.S_IFREG:
        if path == Layout(path.parent).pages:
            return None
        readable = path.parent.name == "journal"
    return Foreign(path, _KINDS.get(kind, "no file"), "a file", readable)


def _not_a_folder(path: Path) -> Foreign | None:
    kind = _kind(path, follow=False)
    if kind is None or _kind(path, follow=True) == stat.S_IFDIR:
        return None
    return Foreign(path, _KINDS.get(kind, "no folder"), "a folder")


def _kind(path: Path, *, follow: bool) -> int | None:
    """The kind of file, as `stat.S_IFMT` gives it; None where there is none. Raises OSError."""
    try:
        return stat.S_IFMT(path.stat(follow_symlinks=follow).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        if follow and path.is_symlink():  # a loop
            return None
        raise
