"""Decides whose task code may be run: shipped folders, and those that were named or trusted.

A task is Python code that runs with the user's rights. A folder `kernels/` that happens to be in
the current directory, for example in a freshly cloned repository, is therefore not run before the
person has agreed once. The agreement is recorded per folder, in `trusted.json` in the user's data
folder.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.user_paths import without_links

_FILE = "trusted.json"


def record_file() -> Path:
    """Where the trusted folders are recorded."""
    return platformdirs.user_data_path("avo-tui") / _FILE


def _recorded() -> dict[str, str]:
    """Folder → when it was trusted. A record that cannot be read trusts nothing."""
    try:
        content = json.loads(record_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    folders = content.get("folders") if isinstance(content, dict) else None
    return {str(k): str(v) for k, v in folders.items()} if isinstance(folders, dict) else {}


def is_recorded(folder: Path) -> bool:
    """True if the person has trusted the folder, or one that it lies in."""
    recorded = _recorded()
    resolved = without_links(folder)
    return any(str(candidate) in recorded for candidate in (resolved, *resolved.parents))


def trust(folder: Path) -> None:
    """Records that code of the folder may be run. Raises EvaluatorError where it cannot be kept."""
    folders = _recorded()
    folders[str(without_links(folder))] = datetime.now(UTC).isoformat(timespec="seconds")
    file = record_file()
    fresh = file.with_suffix(f".{os.getpid()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.write_text(json.dumps({"folders": folders}, indent=1), encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise EvaluatorError(f"{file} cannot be written: {error.strerror}") from error
