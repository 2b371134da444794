"""What this user keeps of sessions in their own state folder: each viewer has their own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import platformdirs

from avo_tui.domain.candidate import Candidate
from avo_tui.store.errors import clear_errors
from avo_tui.store.files import make_private_folder, replace_file
from avo_tui.user_paths import without_links


def _write(path: Path, text: str) -> None:
    """Replace a file, whose folder may be missing. Raises DiskTrouble or StoreError."""
    with clear_errors(path, "write"):
        make_private_folder(path.parent, parents=True)
        replace_file(path, text.encode())


class Drafts:
    """Kernels that a person edited and did not submit yet: at most one for each version of each
    session."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or platformdirs.user_state_path("avo-tui") / "drafts"

    def path(self, folder: Path, version: int) -> Path:
        """Where the draft of a version of the session in `folder` is, or would be."""
        where = hashlib.sha256(str(without_links(folder)).encode()).hexdigest()[:12]
        return self._root / f"{folder.name}-{where}" / f"v{version}.json"

    def get(self, folder: Path, version: int) -> Candidate | None:
        """The draft; None where there is none, or it cannot be read."""
        try:
            return Candidate.model_validate_json(self.path(folder, version).read_bytes())
        except (OSError, ValueError):
            return None

    def put(self, folder: Path, version: int, candidate: Candidate) -> Path:
        """Keep a draft; returns its file. Raises DiskTrouble or StoreError."""
        path = self.path(folder, version)
        _write(path, candidate.model_dump_json(indent=1))
        return path

    def drop(self, folder: Path, version: int) -> None:
        """Delete a draft, because it was submitted or is identical to the version again."""
        self.path(folder, version).unlink(missing_ok=True)


class SeenMarks:
    """The last event that was seen of each session, for "what happened since"."""

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
        _write(self._path, json.dumps(marks, indent=1))

    def _read(self) -> dict[str, object]:
        try:
            marks = json.loads(self._path.read_text())
        except (OSError, ValueError, RecursionError):  # then every event counts as new
            return {}
        return marks if isinstance(marks, dict) else {}
