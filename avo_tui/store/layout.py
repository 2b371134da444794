"""The paths of the files in a session folder."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from avo_tui.store.errors import StoreError, clear_errors, may_pass
from avo_tui.store.files import file_kind
from avo_tui.store.packed_parts import packed_path, part_status

_PART = re.compile(r"([0-9]{6}|[1-9][0-9]{6,17})\.jsonl(\.zst)?")


class Layout:
    def __init__(self, folder: Path, strict: bool = False, most: int | None = None) -> None:
        """`strict` is for a writer: it must not take for missing what merely cannot be read now.
        `most` is for a list of sessions, which one of them must not hold up: the most bytes of its
        journal that are read to open it."""
        self.folder = folder
        self.most = most
        self.strict = strict
        """Whether reading raises DiskTrouble where a file or folder cannot be read for now. A
        reader that is not strict passes it over."""
        self.database = folder / "session.json"
        self.previous = folder / "session.json.previous"
        self.pages = folder / "records.pages"
        self.journal = folder / "journal"
        self.live = folder / "progress.jsonl"
        self.objects = folder / "objects"
        self.inbox = folder / "inbox"
        self.lock = folder / "engine.lock"
        self.log = folder / "engine.log"
        self.reserve = folder / "reserve"
        self.devices = folder / "devices.jsonl"
        self.workers = folder / "workers.json"

    @property
    def mend(self) -> str:
        """What a person can do about damage, as the end of a sentence."""
        return f"`avo doctor {self.folder.name} --repair` mends what can be mended"

    def part(self, step: int) -> Path:
        """The part of the journal that begins with `step`; what is compressed has `.zst` behind
        this name, see `packed_parts`."""
        return self.journal / f"{step:06d}.jsonl"

    def parts(self) -> list[int]:
        """Numbers of the journal's parts, ascending. Raises DiskTrouble if strict."""
        try:
            with os.scandir(self.journal) as entries:
                matches = [_PART.fullmatch(entry.name) for entry in entries]
        except OSError as error:
            self.refuse(error, self.journal)
            return []
        return sorted({int(m[1]) for m in matches if m})

    def irregular_parts(self) -> list[Path]:
        """What has the name of a part of the journal and is no regular file, such as a link.

        The folder's listing says so without a call for each of ten thousands of parts. Raises
        DiskTrouble if strict.
        """
        try:
            with os.scandir(self.journal) as entries:
                irregular = [
                    Path(entry.path)
                    for entry in entries
                    if _PART.fullmatch(entry.name) and not entry.is_file(follow_symlinks=False)
                ]
        except OSError as error:
            self.refuse(error, self.journal)
            return []
        return sorted(irregular)

    def account(self, part: int) -> None:
        """Count a part that is going to be read. Raises StoreError where it is one too many."""
        if self.most is not None:
            with contextlib.suppress(OSError):
                self.spend(part_status(self.part(part)).size)

    def spend(self, size: int) -> None:
        """Count what takes as long as the reading of so many bytes. Raises as `account`."""
        if self.most is None:
            return
        self.most -= size
        if self.most < 0:
            raise StoreError(
                "it has no session.json that can be read, and too long a journal to read all of "
                f"it for a list; {self.mend}"
            )

    def part_of(self, step: int) -> int | None:
        """The part that holds the events of a step; None where there is none. Raises DiskTrouble
        if strict."""
        if self.has_part(step):
            return step
        return max((part for part in self.parts() if part <= step), default=None)

    def has_part(self, step: int) -> bool:
        """Whether a part of the journal begins with `step`. Raises DiskTrouble if strict."""
        for path in (self.part(step), packed_path(self.part(step)), self.part(step)):
            try:  # the plain one is looked for twice: it may have been unpacked in between
                path.stat()
            except OSError as error:
                self.refuse(error, path)
            else:
                return True
        return False

    def refuse(self, error: OSError, path: Path) -> None:
        """Raise DiskTrouble for an error that may pass, if strict; otherwise return."""
        if self.strict and may_pass(error):
            with clear_errors(path, "read"):
                raise error

    def is_session(self) -> bool:
        """True if the folder looks like a session, a damaged one included.

        Raises DiskTrouble or StoreError where the folder cannot be looked into.
        """
        with clear_errors(self.folder, "look into"):
            return (
                file_kind(self.database) == stat.S_IFREG
                or file_kind(self.previous) == stat.S_IFREG
                or file_kind(self.journal) == stat.S_IFDIR
            )
