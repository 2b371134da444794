"""The repositories that were adopted on this machine: name → folder, and what was agreed to."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from avo_tui.evaluation.backends.command.project import Project, read_project
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.user_paths import without_links


class Place(BaseModel):
    model_config = ConfigDict(frozen=True)

    folder: Path
    grants: tuple[str, ...] = ()
    """What its `avo.toml` asked for beyond the sandbox when it was adopted."""


def adopted_root() -> Path:
    return platformdirs.user_data_path("avo-tui") / "repositories"


def adopted() -> dict[str, Path]:
    """Name → the file that says where the repository is."""
    return {path.stem: path for path in sorted(adopted_root().glob("*.json"))}


def place_of(name: str) -> Place:
    """Where an adopted repository is. Raises EvaluatorError."""
    path = adopted_root() / f"{name}.json"
    try:
        return Place.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise EvaluatorError(
            f"{path} cannot be read: {error}; adopt the repository again"
        ) from error


def name_of(folder: Path, project: Project) -> str:
    """What a repository is called: by its `avo.toml`, or by its folder."""
    wanted = project.project.name or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name)
    return wanted.strip("-._")[:60] or "repository"


def adopt(folder: Path) -> str:
    """Note a folder with an `avo.toml`; its name. Raises EvaluatorError."""
    folder = without_links(folder)
    project = read_project(folder)
    name = name_of(folder, project)
    known = adopted().get(name)
    if known is not None and (there := place_of(name).folder) != folder and there.is_dir():
        raise EvaluatorError(
            f"there is a repository {name} already, {there}; give this one another name:"
            f' name = "…" under [project] in {folder}/avo.toml'
        )
    root = adopted_root()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = root / f".{name}.{os.getpid()}.new"
    entry = Place(folder=folder, grants=project.grants)
    fresh.write_text(entry.model_dump_json(indent=1), encoding="utf-8")
    fresh.replace(root / f"{name}.json")
    return name


def load(name: str) -> tuple[Path, Project]:
    """(the folder, what it says) of an adopted repository. Raises EvaluatorError."""
    entry = place_of(name)
    if not entry.folder.is_dir():
        raise EvaluatorError(f"{entry.folder}, where {name} was adopted, is not there any more")
    project = read_project(entry.folder)
    new = [grant for grant in project.grants if grant not in entry.grants]
    if new:
        raise EvaluatorError(
            f"{entry.folder}/avo.toml now {' and '.join(new)}; avo adopt {entry.folder}"
            " agrees to it"
        )
    return entry.folder, project


def adopted_name(folder: Path) -> str:
    """The name of the repository in a folder; one that asks for nothing is adopted as it is.

    Raises EvaluatorError where a person has to agree first.
    """
    folder = without_links(folder)
    project = read_project(folder)
    name = name_of(folder, project)
    if name in adopted() and place_of(name).folder == folder:
        return name
    if project.grants:
        raise EvaluatorError(
            f"{folder}/avo.toml {' and '.join(project.grants)}; avo adopt {folder} agrees to it"
        )
    return adopt(folder)
