"""Remembers the last event that this user has seen of each session, for "what happened since"."""

from __future__ import annotations

import json
from pathlib import Path

import platformdirs

from avo_tui.store.errors import clear_errors
from avo_tui.store.files import make_private_folder, replace_file
from avo_tui.user_paths import without_links


class SeenMarks:
    """Kept in the user's own state folder, not in the session: each viewer has their own."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or platformdirs.user_state_path("avo-tui") / "seen.json"

    def get(self, folder: Path) -> int:
        """Number of the last event that was seen; 0 for a session that was never opened."""
        value = self._read().get(str(without_links(folder)), 0)
        return value if isinstance(value, int) else 0

    def set(self, folder: Path, seq: int) -> None:
        """Remember that everything up to `seq` was seen. Raises DiskTrouble or StoreError."""
        marks = self._read()
        marks[str(without_links(folder))] = seq
        with clear_errors(self._path, "write"):
            make_private_folder(self._path.parent, parents=True)
            replace_file(self._path, json.dumps(marks, indent=1).encode())

    def _read(self) -> dict[str, object]:
        try:
            marks = json.loads(self._path.read_text())
        except (
            OSError,
            ValueError,
            RecursionError,
        ):  # no file yet, or a damaged one: then every event counts as new
            return {}
        return marks if isinstance(marks, dict) else {}
