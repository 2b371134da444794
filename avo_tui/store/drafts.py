"""Kernels that a person edited and did not submit yet, kept in the user's own state folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import platformdirs

from avo_tui.domain.candidate import Candidate
from avo_tui.store.errors import clear_errors
from avo_tui.store.files import make_private_folder, replace_file
from avo_tui.user_paths import without_links


class Drafts:
    """At most one draft for each version of each session."""

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
        with clear_errors(path, "write"):
            make_private_folder(path.parent, parents=True)
            replace_file(path, candidate.model_dump_json(indent=1).encode())
        return path

    def drop(self, folder: Path, version: int) -> None:
        """Delete a draft, because it was submitted or is identical to the version again."""
        self.path(folder, version).unlink(missing_ok=True)
