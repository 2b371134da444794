"""A cache of the session summaries, kept between two starts of the program.

Reading a thousand sessions takes seconds and most of them have not changed. The file is in the
user's cache folder and may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from avo_tui import __version__
from avo_tui.store.files import make_private_folder, read_regular, replace_file

log = logging.getLogger(__name__)

Mark = tuple[object, ...]
"""Changes whenever the session does: sizes and times of its files."""


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # it cannot be told now: it stays remembered
        return True


class SummaryCache:
    """Session folder → mark and summary as JSON, for sessions that can be read and do not run."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or platformdirs.user_cache_path("avo-tui") / "sessions.json"
        self._entries: dict[str, tuple[str, str]] | None = None
        self._changed = False

    def get(self, folder: Path, mark: Mark) -> str | None:
        """The summary of a session that has not changed since."""
        entry = self._known().get(str(folder))
        return entry[1] if entry is not None and entry[0] == _text(mark) else None

    def put(self, folder: Path, mark: Mark, summary: str) -> None:
        """Remember a summary; `save` writes it."""
        self._known()[str(folder)] = (_text(mark), summary)
        self._changed = True

    def save(self) -> None:
        """Write new summaries. Where that fails, the next start reads those sessions again."""
        if not self._changed:
            return
        self._changed = False
        entries = {f: e for f, e in self._known().items() if _is_folder(f)}
        text = json.dumps({"version": __version__, "sessions": entries})
        try:
            make_private_folder(self._path.parent, parents=True)
            replace_file(self._path, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            log.debug("the list of sessions is not remembered: %s", error)

    def _known(self) -> dict[str, tuple[str, str]]:
        if self._entries is None:
            self._entries = _read(self._path)
        return self._entries


def _read(path: Path) -> dict[str, tuple[str, str]]:
    try:
        body = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(body, Mapping) or body.get("version") != __version__:
        return {}
    sessions = body.get("sessions")
    if not isinstance(sessions, dict):
        return {}
    return {
        folder: (entry[0], entry[1])
        for folder, entry in sessions.items()
        if isinstance(entry, list) and len(entry) == 2 and all(isinstance(e, str) for e in entry)
    }


def _text(mark: Mark) -> str:
    return json.dumps(mark)
