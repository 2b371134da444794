"""A simulated power cut: what a disk holds if nothing reached it but what was synced.

`Recording` watches the syncs of this process below a folder and notes what each made durable: of
a file its content, of a folder its names. `Recording.image` builds the folder as a machine finds it
that lost power right after one of them. Unlike a real disk it forgets everything that was not
synced, which is the worst that a disk may do; with `torn`, the end of a file that was appended to
since its last sync is there in part, which a real disk may do as well.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Names = dict[str, int]
"""Name → inode."""


@dataclass(frozen=True)
class Sync:
    """One sync: of the file or folder `inode`, and what it holds since."""

    inode: int
    content: bytes | Names


@dataclass
class Recording:
    """The syncs below `root`, in order. The root itself and its name are durable from the start."""

    root: Path
    syncs: list[Sync] = field(default_factory=list)
    tails: list[bytes] = field(default_factory=list)
    """For each sync: what the file named by `tail_of` held just before it."""
    tail_of: Callable[[], Path | None] = lambda: None

    def note(self, descriptor: int) -> None:
        """Note what a sync of `descriptor` makes durable."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path != self.root and self.root not in path.parents:
            return
        status = os.fstat(descriptor)
        tail = self.tail_of()
        self.tails.append(tail.read_bytes() if tail is not None and tail.exists() else b"")
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                self.syncs.append(Sync(status.st_ino, {e.name: e.inode() for e in entries}))
        else:
            self.syncs.append(Sync(status.st_ino, Path(f"/proc/self/fd/{descriptor}").read_bytes()))

    def image(self, number: int, target: Path, torn: tuple[Path, bytes] | None = None) -> None:
        """Build in `target` what is on the disk after `number` syncs.

        `torn` is a file below the root and its content instead of the durable one.
        """
        durable: dict[int, bytes | Names] = {s.inode: s.content for s in self.syncs[:number]}
        folders = {s.inode for s in self.syncs if isinstance(s.content, dict)}
        self._build(self.root.stat().st_ino, target, durable, folders)
        if torn is not None:
            path = target / torn[0].relative_to(self.root)
            if path.exists():
                path.write_bytes(torn[1])

    def _build(
        self, inode: int, target: Path, durable: dict[int, bytes | Names], folders: set[int]
    ) -> None:
        content = durable.get(inode, {} if inode in folders else b"")
        if isinstance(content, bytes):
            target.write_bytes(content)
            return
        target.mkdir(mode=0o700, exist_ok=True)
        for name, child in content.items():
            self._build(child, target / name, durable, folders)


@contextmanager
def recorded(root: Path) -> Iterator[Recording]:
    """Record the syncs below `root`. They are not carried out, which makes this quick."""
    recording = Recording(root.resolve())

    def sync(descriptor: int) -> None:
        recording.note(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(os, "fdatasync", sync)
        yield recording
