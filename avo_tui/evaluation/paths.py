"""Folders for files that the evaluator keeps between evaluations: caches and locks."""

from __future__ import annotations

import os
from pathlib import Path

from avo_tui.evaluation.ports import EvaluatorError


def cache_folder(*parts: str) -> Path:
    """A folder under the user's cache, made if it is not there."""
    base = os.environ.get("AVO_CACHE") or os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path.home() / ".cache"
    folder = root.joinpath("avo-tui", *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise EvaluatorError(
            f"the cache {folder} cannot be made ({error.strerror}); set AVO_CACHE to a folder "
            "that can be written"
        ) from error
    return folder


def lock_file(device: str) -> Path:
    """The file that stands for one device; all sessions of the machine's user meet at it.

    Not under AVO_CACHE: two sessions with different caches still share the processor.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        folder = Path(runtime) / "avo-tui"
    else:
        folder = Path("/tmp") / f"avo-tui-locks-{os.geteuid()}"  # noqa: S108  private to the user
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.geteuid():
        raise EvaluatorError(f"{folder} belongs to another user; set XDG_RUNTIME_DIR")
    return folder / f"{device}.lock"
