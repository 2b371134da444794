"""What the devices of a run do at present, in one small file, for other processes.

It is beside the journal because it is no part of what happened in the run: what became of a device
(lost, back, set aside) is in the journal. The file is replaced as a whole, so that a reader has the
old or the new content, and never synced: losing it loses nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.workers import WorkersSeen
from avo_tui.store.files import TEMPORARY, open_own, read_regular, write_all
from avo_tui.store.layout import Layout


class WorkersFile:
    """Replaces the file. It holds the folder open, so that it never writes into another one."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the folder cannot be opened."""
        self._name = Layout(folder).workers.name
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def write(self, seen: WorkersSeen) -> None:
        """Replace the content. Raises OSError where the disk takes no write."""
        new = f"{TEMPORARY}{os.getpid()}-{self._name}"
        file = open_own(Path(new), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, self._folder)
        try:
            write_all(file, seen.model_dump_json(exclude_defaults=True).encode() + b"\n")
        finally:
            os.close(file)
        os.replace(new, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._folder)


def read_workers(folder: Path) -> WorkersSeen | None:
    """The devices as the session's last engine told of them; None where it did not.

    They are the present only while an engine lives: ask it.
    """
    try:
        return WorkersSeen.model_validate_json(read_regular(Layout(folder).workers))
    except (OSError, ValidationError):
        return None
