"""What a caller of `avo seat` is called, where a call does not say it.

The step is opened for one name, so every call of an agent has to bear the same. In order: what the
call says (`--as`), the environment variable AVO_SEAT_AS, the name last said for this session from
this folder, `command line`. Where two names were said from one folder within an hour, neither is
assumed: each call has to say its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import platformdirs
from pydantic import TypeAdapter, ValidationError

from avo_tui.cli.errors import Failure
from avo_tui.user_paths import without_links

VARIABLE = "AVO_SEAT_AS"
NOBODY = "command line"
"""Name of a caller that has none."""
LATELY = 3600.0
"""Seconds for which a second name from the same folder counts as another caller who is there."""
_MOST = 100
"""Folders that are remembered, the newest."""

_Book = dict[str, dict[str, float]]
"""Session and folder → name → when it was said last, in seconds since 1970."""
_BOOK = TypeAdapter(_Book)


def caller(said: str | None, session: Path) -> str:
    """The name of the caller; a name that was said is remembered.

    Raises Failure where two share this folder and the call does not say who it is.
    """
    try:
        here = str(Path.cwd())
    except OSError:  # this folder was deleted
        here = "nowhere"
    key = f"{without_links(session)} from {here}"
    if said is not None:
        _remember(key, said)
        return said
    if given := os.environ.get(VARIABLE, "").strip():
        return given
    names = _read().get(key, {})
    if not names:
        return NOBODY
    newest = max(names.values())
    present = sorted(name for name, when in names.items() if newest - when < LATELY)
    if len(present) > 1:
        callers = " and ".join(repr(name) for name in present)
        raise Failure(
            f"{callers} called from this folder within one hour, so it is not clear who you are:"
            f" say --as NAME in each call, or set {VARIABLE} in your shell"
        )
    return present[0]


def _remember(key: str, name: str) -> None:
    """Write that a name was said; a book that cannot be written is no reason to fail."""
    book = _read()
    book[key] = {**book.get(key, {}), name: time.time()}
    newest = sorted(book, key=lambda k: max(book[k].values(), default=0.0))[-_MOST:]
    path = _path()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({k: book[k] for k in newest}), encoding="utf-8")
        temporary.replace(path)


def _read() -> _Book:
    try:
        return _BOOK.validate_json(_path().read_bytes())
    except (OSError, ValidationError):
        return {}


def _path() -> Path:
    return platformdirs.user_state_path("avo-tui") / "seat-names.json"
