"""attempts.jsonl: one JSON line for each change of an attempt.

The attempts are outside session.json so that it stays small. Like session.json, this file is
derived from the journal and can be rebuilt from it. The last line written about an attempt is the
valid one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from avo_tui.domain.records import Attempt
from avo_tui.store.appending import AppendFile
from avo_tui.store.errors import DamagedSession, clear_errors, unreadable
from avo_tui.store.files import open_regular, replace_file

Attempts = dict[tuple[int, int], Attempt]

PIECE = 1 << 20
"""Bytes that are read and parsed at a time."""

_ADAPTER: TypeAdapter[list[Attempt]] = TypeAdapter(list[Attempt])


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


def rewrite_attempts(path: Path, attempts: Iterable[Attempt]) -> None:
    """Write the file again, one line for each attempt. Raises DiskTrouble or StoreError."""
    with clear_errors(path, "write"):
        replace_file(path, b"".join(attempt_line(a) for a in attempts))


def attempt_line(attempt: Attempt) -> bytes:
    """One line of the file."""
    return attempt.model_dump_json().encode() + b"\n"


class AttemptsFile:
    """Appends to attempts.jsonl.

    There is one writer, and it has cut off a half-written last line before.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Append, durable on return. Raises DiskTrouble or StoreError."""
        data = b"".join(attempt_line(a) for a in attempts)
        if data:
            self._file.append(data, durable=True)

    def close(self) -> None:
        """Close."""
        self._file.close()

    def abandon(self) -> None:
        """Close without writing anything more."""
        self._file.abandon()
