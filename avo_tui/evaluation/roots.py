"""The folders that tasks are looked for in, and why. Cheap to import: no task is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

import avo_tui
from avo_tui.evaluation import trust
from avo_tui.user_paths import from_home, without_links

KERNELS_VARIABLE = "AVO_KERNELS"
"""Environment variable that names one more folder of tasks, the first to be looked at."""


@dataclass(frozen=True)
class Root:
    """A folder that holds task folders."""

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
        trusted = certain or folder in ships or trust.is_recorded(folder)
        roots_by_folder.setdefault(folder, Root(folder, origin, trusted))
    return list(roots_by_folder.values())
