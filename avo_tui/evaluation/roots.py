"""The folders that tasks are looked for in, and whether their code may be run.

Cheap to import: no task is loaded. A task is Python code that runs with the user's rights. A folder
`kernels/` that happens to be in the current directory, for example in a freshly cloned repository,
is therefore not run before the person has agreed once. The agreement is recorded per folder, in
`trusted.json` in the user's data folder.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

import avo_tui
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.user_paths import from_home, without_links

_FILE = "trusted.json"


def record_file() -> Path:
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


KERNELS_VARIABLE = "AVO_KERNELS"
"""Environment variable that names one more folder of tasks, the first to be looked at."""


@dataclass(frozen=True)
class Root:
    folder: Path
    origin: str
    """Why the folder is searched, as text for a list."""
    trusted: bool
    """Whether its code may be run without asking the person."""


def own_root() -> Path:
    """The user's own folder of tasks, there or not: where those from a reference are kept."""
    return platformdirs.user_data_path("avo-tui") / "tasks"


def roots(kernels: Path | None = None) -> list[Root]:
    """Folders that hold task folders; the first that has a task of a name wins.

    Order: `kernels`, `$AVO_KERNELS`, `kernels/` of the current directory, the user's own, those
    of the checkout, and those of the installed package.
    """
    package = Path(avo_tui.__file__).resolve().parent
    named = os.environ.get(KERNELS_VARIABLE)
    named_by = os.environ.get(f"{KERNELS_VARIABLE}_FROM", f"${KERNELS_VARIABLE}")
    here = Path.cwd() / "kernels"
    shipped = [package.parent / "kernels", package / "data" / "kernels"]
    wanted: list[tuple[Path | None, str, bool]] = [
        (kernels, "named", True),
        (from_home(named) if named else None, named_by, True),
        (here, "./kernels", False),
        (own_root(), "your own", True),
        *((folder, "shipped", True) for folder in shipped),
    ]
    ships = {without_links(folder) for folder in shipped}
    roots_by_folder: dict[Path, Root] = {}
    for path, origin, certain in wanted:
        if path is None or not path.is_dir():
            continue
        folder = without_links(path)
        trusted = certain or folder in ships or is_recorded(folder)
        roots_by_folder.setdefault(folder, Root(folder, origin, trusted))
    return list(roots_by_folder.values())
