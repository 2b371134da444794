"""A folder over which an engine and workers exchange files: all that the two sides share.

A request is `requests/ID.json`. A worker takes it by renaming it to `taken/ID@WORKER.json`, writes
`answers/ID.json`, and removes what it took. The engine uses an answer once, and leaves an empty
`done/ID` so that the same answer, copied back a second time, is not taken for another one. A task
is `tasks/KEY.json`, once for all requests. While a worker is there it rewrites `workers/NAME.json`
every few seconds; one whose file stops changing has lost its lease, and what it took is free again.
Changes are counted by the clock of whoever looks: clocks of two machines are never compared.

Every file is written whole under another name and then renamed. What cannot be read is not there
yet: somebody may be copying it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from pydantic import Field

from avo_tui.domain.base import Moment, Value, now
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.answers import NoAnswerError, sound
from avo_tui.evaluation.workers.link import LEASE_SECONDS

_ID = re.compile(r"\d{6,}(?:\.\d{2,})?-[0-9a-f]{24}$")
FOLDERS = ("requests", "taken", "answers", "done", "tasks", "workers")
MOST_BYTES = 64 << 20
"""Largest file that is read."""


class WorkerNote(Value):
    """What a worker says of itself, in its file."""

    name: str
    host: str = ""
    pid: int = 0
    space: str = ""
    """Where its pid means something: the machine and its name space of processes."""
    beat: int = 0
    """Counts on while it lives."""
    ended: bool = False
    program: str = ""
    """Key of its sources: `parcels.program_key`."""
    refuses: str = ""
    """Why it takes no request, such as another version; empty where it does."""
    doing: str = ""
    """The request that it serves."""
    progress: EvaluationProgress | None = None
    answered: int = 0
    machines: dict[str, MachineInfo] = Field(default_factory=dict)
    """Task → what it is measured on there."""


def digest(session: str, body: Mapping[str, object]) -> str:
    """What makes two requests of a session the same."""
    text = json.dumps([session, body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class SpoolFolder:
    """The files of a spool, and since when each worker's file has not changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._last_number = 0
        self._seen: dict[str, tuple[bytes, float, datetime]] = {}
        """Worker → its file, and when it was last seen to change, by both clocks of this side."""

    def make(self) -> None:
        """Makes the folders that are missing. Raises EvaluatorError."""
        try:
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise EvaluatorError(f"the spool {self.root}: {error.strerror}") from error

    def names(self, folder: str) -> dict[str, Path]:
        """Id → file, in the order in which requests were made."""
        inside = self.root / folder
        try:
            names = sorted(os.listdir(inside))  # noqa: PTH208  names alone: hundreds, every second
        except OSError:
            return {}
        by_id = {name.partition("@")[0].removesuffix(".json"): name for name in names}
        return {identity: inside / name for identity, name in by_id.items() if _ID.match(identity)}

    def next_number(self) -> int:
        """One more than the largest number of any request."""
        if not self._last_number:
            known = (i for folder in FOLDERS[:4] for i in self.names(folder))
            self._last_number = max(
                (int(i[: i.index("-")].partition(".")[0]) for i in known), default=0
            )
        self._last_number += 1
        return self._last_number

    def write(self, place: str, body: Mapping[str, object]) -> None:
        """Writes a file whole. Raises OSError."""
        path = self.root / place
        fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def read(self, path: Path) -> dict[str, Any] | None:
        """The object in a file; None where it is not there, not whole yet, or no object."""
        try:
            if path.is_symlink() or path.stat().st_size > MOST_BYTES:
                return None
            body = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None

    def open_answers(self) -> dict[str, Path]:
        """Answers that nobody has used; those that came a second time are removed."""
        answers, done = self.names("answers"), self.names("done")
        for identity in answers.keys() & done.keys():
            answers.pop(identity).unlink(missing_ok=True)
        return answers

    def settle(self, identity: str) -> None:
        """Notes that an answer was used, and removes all files of its request."""
        (self.root / "done" / identity).touch()
        self.withdraw(identity)
        (self.root / "answers" / f"{identity}.json").unlink(missing_ok=True)

    def withdraw(self, identity: str) -> None:
        """Removes a request, wherever it is; an answer that comes all the same may be used by one
        that asks the same."""
        (self.root / "requests" / f"{identity}.json").unlink(missing_ok=True)
        for path in (self.root / "taken").glob(f"{identity}@*.json"):
            path.unlink(missing_ok=True)

    # -- workers

    def workers(self) -> list[tuple[WorkerNote, float, Moment]]:
        """(worker, seconds since its file was seen to change, when that was), newest last."""
        notes = []
        for path in (self.root / "workers").glob("*.json"):
            body = self.read(path)
            try:
                note = sound(WorkerNote, body, "worker")
                content, written = path.read_bytes(), path.stat().st_mtime
            except (OSError, NoAnswerError):
                continue
            before = self._seen.get(path.stem)
            if before is None:  # not seen to change: as old as the file says, where that can be
                moment = min(now(), datetime.fromtimestamp(max(0.0, written), UTC))
                self._seen[path.stem] = (content, time.monotonic(), moment)
            elif before[0] != content:
                self._seen[path.stem] = (content, time.monotonic(), now())
            _, since, moment = self._seen[path.stem]
            notes.append((note.replaced(name=path.stem), time.monotonic() - since, moment))
        return sorted(notes, key=lambda row: row[2])

    def living(self) -> dict[str, WorkerNote]:
        """Workers that hold a lease, by name."""
        return {
            note.name: note
            for note, silent, _ in self.workers()
            if not note.ended and silent < LEASE_SECONDS and not _is_dead(note)
        }

    def give_back(self) -> None:
        """Frees what was taken by workers that have lost their lease."""
        taken = self.names("taken")
        if not taken:
            return
        living, answered = self.living(), self.names("answers")
        for identity, path in taken.items():
            if path.name.partition("@")[2].removesuffix(".json") in living:
                continue
            if identity in answered:
                path.unlink(missing_ok=True)
                continue
            try:
                path.rename(self.root / "requests" / f"{identity}.json")
            except FileNotFoundError:
                continue  # somebody else did

    def forget_workers(self, age: timedelta) -> None:
        """Removes the files of workers that ended long ago, but for the latest."""
        for note, _, moment in self.workers()[:-1]:
            if note.ended and now() - moment > age:
                (self.root / "workers" / f"{note.name}.json").unlink(missing_ok=True)


def _is_dead(note: WorkerNote) -> bool:
    """Whether a worker of this very machine is known to have ended."""
    return note.space == pid_space() and note.pid > 0 and not psutil.pid_exists(note.pid)


def pid_space() -> str:
    """See `WorkerNote.space`; containers may share a host's name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()
