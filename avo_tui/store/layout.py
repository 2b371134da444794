"""The paths of the files in a session folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PART = re.compile(r"^(\d{6,})\.jsonl$")


class Layout:
    """Paths of one session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "session.json"
        self.previous = folder / "session.json.previous"
        self.attempts = folder / "attempts.jsonl"
        self.journal = folder / "journal"
        self.live = folder / "progress.jsonl"
        self.objects = folder / "objects"
        self.inbox = folder / "inbox"
        self.lock = folder / "engine.lock"
        self.log = folder / "engine.log"
        self.reserve = folder / "reserve"
        self.devices = folder / "devices.jsonl"
        self.workers = folder / "workers.json"

    def part(self, step: int) -> Path:
        """The part of the journal that begins with `step`."""
        return self.journal / f"{step:06d}.jsonl"

    def parts(self) -> list[int]:
        """Numbers of the journal's parts, ascending."""
        try:
            with os.scandir(self.journal) as entries:
                matches = [_PART.fullmatch(entry.name) for entry in entries]
        except OSError:
            return []
        return sorted(int(m[1]) for m in matches if m)

    def part_of(self, step: int) -> int | None:
        """The part that holds the events of a step; None where there is none."""
        if self.part(step).exists():
            return step
        return max((part for part in self.parts() if part <= step), default=None)

    def backup(self, number: int) -> Path:
        """Folder of the copy that is made before a session of format `number` is migrated."""
        return self.folder / f"backup-format-{number}"

    def is_session(self) -> bool:
        """True if the folder looks like a session, a damaged one included."""
        return self.database.is_file() or self.previous.is_file() or self.journal.is_dir()
