"""What is written to begin with: a task, RMSNorm, and a small repository; meant to be changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from avo_tui.evaluation.ports import EvaluatorError

_HERE = Path(__file__).parent
LANGUAGES = ("cpp", "cuda")


def write_template(name: str, language: str, root: Path) -> Path:
    """Writes `root/name` and returns it. Raises EvaluatorError with one sentence."""
    if language not in LANGUAGES:
        raise EvaluatorError(f"there is a first task in {' and '.join(LANGUAGES)}, not {language}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise EvaluatorError(
            f"{name!r} is no name for a new task: up to 40 letters, digits and underscores, "
            "beginning with a letter"
        )
    folder = root / name
    if folder.exists():
        raise EvaluatorError(f"{folder} is there already; choose another name")
    kind = "".join(part.capitalize() for part in name.split("_"))
    try:
        for source in sorted((_HERE / language).rglob("*.in")):
            target = folder / source.relative_to(_HERE / language).with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            target.write_text(text.replace("@NAME@", name).replace("@CLASS@", kind))
    except OSError as error:
        raise EvaluatorError(f"{folder} cannot be written: {error.strerror}") from error
    return folder


def write_example(folder: Path) -> None:
    """Write a small repository. Raises EvaluatorError with one sentence."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EvaluatorError(f"{folder} is there already; name a folder that is not")
    try:
        shutil.copytree(_HERE / "repository", folder, dirs_exist_ok=True)
    except OSError as error:
        raise EvaluatorError(f"{folder} cannot be written: {error.strerror}") from error
