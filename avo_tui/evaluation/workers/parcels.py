"""What two machines compare before they work together: the program, and the files of a task."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

import avo_tui
from avo_tui.evaluation.paths import cache_folder
from avo_tui.evaluation.ports import EvaluatorError

PARCEL_BYTES = 16 << 20
"""Most that the files of a task may hold to be sent to another machine."""
_ROOMS = ("domain", "evaluation")
"""Packages that decide what a measurement means."""


@cache
def program_key() -> str:
    """A hash of the sources that measure: two machines with the same one measure alike."""
    root = Path(avo_tui.__file__).resolve().parent
    paths = sorted(p for room in _ROOMS for p in (root / room).rglob("*") if _counts(p, root))
    return _digest({p.relative_to(root).as_posix(): p.read_bytes() for p in paths})


def _counts(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
    return path.is_file() and not hidden


def _digest(files: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{name} {len(content)}\n".encode())
        whole.update(content)
    return whole.hexdigest()


def read_task(folder: Path) -> dict[str, bytes]:
    """The files of a task's folder, by path below it. Raises EvaluatorError beyond a size."""
    files: dict[str, bytes] = {}
    size = 0
    for path in sorted(p for p in folder.rglob("*") if _counts(p, folder)):
        size += path.stat().st_size
        if size > PARCEL_BYTES:
            raise EvaluatorError(
                f"the task {folder.name} is larger than {PARCEL_BYTES >> 20} MiB, which is the most"
                " that is sent to another machine; copy its folder there and set AVO_KERNELS"
            )
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return files


def task_key(files: Mapping[str, bytes]) -> str:
    return _digest(files)


def packed(files: Mapping[str, bytes]) -> dict[str, str]:
    """The files as text that JSON can hold."""
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def keep_task(name: str, texts: Mapping[str, str]) -> Path:
    """Writes a task that was received to the cache; returns the folder that holds its folder.

    Raises EvaluatorError for paths that lead out of it and for a cache that cannot be written.
    """
    for path in (name, *texts):
        parts = PurePosixPath(path).parts
        if not parts or PurePosixPath(path).is_absolute() or ".." in parts:
            raise EvaluatorError(f"{path!r} is no path inside a task's folder")
    if "/" in name:
        raise EvaluatorError(f"{name!r} is no name of a task")
    files = {path: base64.b64decode(text) for path, text in texts.items()}
    root = cache_folder("received", task_key(files)[:24])
    for path, content in files.items():
        target = root / name / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not target.is_file() or target.read_bytes() != content:
                fresh = target.with_name(f".{target.name}.new")
                fresh.write_bytes(content)
                fresh.replace(target)
        except OSError as error:
            raise EvaluatorError(f"{target} cannot be written: {error.strerror}") from error
    return root
