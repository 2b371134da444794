"""Compresses the parts of the journal that are closed, one at a time, while the engine runs.

Nothing that a reader can ask for is lost, and a kill or a power cut at any instant leaves a whole
journal: the compressed part is written beside the other and is durable before anything else
happens; the other is removed later, after both were compared.
"""

from __future__ import annotations

import logging
import stat
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from avo_tui.store.errors import clear_errors
from avo_tui.store.files import read_regular, replace_file, sync_folder
from avo_tui.store.journal import JournalWriter
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import LARGEST_PACKED, forms_differ, pack, packed_path

log = logging.getLogger(__name__)

SMALLEST: Final = 64 << 10
"""Parts below this stay as they are, bytes: compressed they would take nearly as many blocks of a
disk. Sessions of older versions have one such part for each step."""

KEEP_SECONDS: Final = 600.0
"""Seconds for which both forms of a part are kept, so that a copy of the folder that was begun
before finds each part that it had seen."""


class Compaction:
    """Compresses closed parts. One part at each `step`, which the thread that writes the tables
    calls."""

    def __init__(
        self, layout: Layout, journal: JournalWriter, check_ours: Callable[[], None]
    ) -> None:
        """`check_ours` raises FolderLost where the folder is no longer ours."""
        self._layout = layout
        self._journal = journal
        self._check_ours = check_ours
        self._newest: int | None = None
        """The part that was written at the last step; None before the first."""
        self._closed: deque[int] = deque()
        """Parts that may be compressed."""
        self._doubled: deque[tuple[int, float]] = deque()
        """(part, since when by the monotonic clock), for parts that are there in both forms."""

    def step(self) -> None:
        """Remove one part that was compressed a while ago, and compress another.

        Raises DiskTrouble or StoreError; the part is tried again at the next step.
        """
        self._look()
        if self._doubled and time.monotonic() - self._doubled[0][1] >= KEEP_SECONDS:
            self._remove_plain(self._doubled[0][0])
            self._doubled.popleft()
        if not self._closed:
            return
        if self._compress(self._closed[0]):
            self._doubled.append((self._closed[0], time.monotonic()))
        self._closed.popleft()

    def _look(self) -> None:
        """Notice parts that were closed since the last step; at first, all there are."""
        newest = self._journal.part
        if self._newest is None:
            parts = [part for part in self._layout.parts() if part < newest]
            self._closed.extend(part for part in parts if self._is_worth_it(part))
        elif newest != self._newest and self._is_worth_it(self._newest):
            self._closed.append(self._newest)
        self._newest = newest

    def _is_worth_it(self, part: int) -> bool:
        """Whether a part is there as lines, and neither small nor huge."""
        path = self._layout.part(part)
        try:
            status = path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._layout.refuse(error, path)
            return False
        return stat.S_ISREG(status.st_mode) and SMALLEST <= status.st_size <= LARGEST_PACKED

    def _compress(self, part: int) -> bool:
        """Write the compressed form of a part; returns whether it is there."""
        path = self._layout.part(part)
        with clear_errors(path, "compress"):
            self._check_ours()
            if packed_path(path).exists():
                return not self._differs(path)
            data = read_regular(path)
            if not data.endswith(b"\n"):
                return False  # not ours: a closed part ends with a whole line
            self._check_ours()
            replace_file(packed_path(path), pack(data))
        return True

    def _remove_plain(self, part: int) -> None:
        """Remove the lines of a part whose compressed form holds the same."""
        path = self._layout.part(part)
        packed = packed_path(path)
        with clear_errors(path, "compress"):
            self._check_ours()
            if path.exists() and packed.exists() and not self._differs(path):
                path.unlink()
                sync_folder(path.parent)

    def _differs(self, path: Path) -> bool:
        """Whether the two forms of a part differ, so that both stay until `avo doctor --repair`."""
        if differ := forms_differ(path):
            log.warning("%s and its compressed form differ: see avo doctor", path.name)
        return differ
