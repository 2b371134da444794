"""Paths that a person typed: what cannot be such a path is one sentence and never a traceback."""

from __future__ import annotations

from pathlib import Path


def from_home(path: str | Path) -> Path:
    """The path with a leading `~` or `~NAME` replaced. Raises ValueError for an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{path}: there is no home folder of that user on this machine; write the whole path"
        ) from None


def without_links(path: Path) -> Path:
    """The absolute path behind links; of a loop of links, and of what is no path, the path as it
    was given, at which opening it fails with a sentence."""
    try:
        return path.resolve()
    except (RuntimeError, OSError, ValueError):
        return path.absolute()
