"""attempts.jsonl of sessions that an older avo-tui wrote: one JSON line for each change of an
attempt. The last line about an attempt is the valid one.

It is read and no longer written: `pages` has taken its place. A writer removes it once session.json
holds the attempts.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from avo_tui.domain.base import DEFERRED
from avo_tui.domain.records import Attempt
from avo_tui.store.errors import DamagedSession, unreadable
from avo_tui.store.files import open_regular

Attempts = dict[tuple[int, int], Attempt]

PIECE = 1 << 20
"""Bytes that are read and parsed at a time."""

_ADAPTER: TypeAdapter[list[Attempt]] = TypeAdapter(list[Attempt], config=DEFERRED)


def read_attempts(path: Path) -> tuple[Attempts, int]:
    """(attempts in order of their first lines, number of lines).

    A half-written last line is ignored. Raises DamagedSession where another line is not an attempt,
    and UnreadableNow.
    """
    attempts: Attempts = {}
    count = 0
    try:
        with contextlib.suppress(FileNotFoundError), open_regular(path) as file:
            # in pieces, so that a long file takes no more memory than its attempts
            while lines := file.readlines(PIECE):
                if not lines[-1].endswith(b"\n"):
                    lines.pop()
                count += len(lines)
                for attempt in _ADAPTER.validate_json(b"[" + b",".join(lines) + b"]"):
                    attempts[attempt.step, attempt.number] = attempt.slim()
    except ValidationError as error:
        raise DamagedSession(f"{path.name} holds a line that is no attempt") from error
    except OSError as error:
        raise unreadable(error, path, path.name) from error
    return attempts, count
