"""Hands the candidates of a lineage in to a session, one after the other, within a time."""

from __future__ import annotations

import sys
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Stop, Submit, parse_command
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution.lifecycle.headless import Printer
from avo_tui.evolution.process import run_engine
from avo_tui.store import SessionReader, send_command

FIRST_GUESS = 60.0
"""Seconds that one evaluation is thought to take before one was seen."""
RESERVE = 10.0
"""Seconds that are kept for the end: the engine's, tables and packing."""
BY = "record.py"
"""Who gives the commands, for the record."""


class CannotRecord(Exception):  # noqa: N818 - reads as a sentence
    """Why nothing can be recorded here, in one sentence."""


@dataclass
class Deadline:
    """When everything must be at its end."""

    seconds: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left for work, a reserve for the end put aside; infinite without a limit."""
        if self.seconds is None:
            return float("inf")
        return self.began + self.seconds - RESERVE - time.monotonic()


@dataclass
class Item:
    """One candidate of the lineage."""

    entry: dict[str, Any]
    candidate: Candidate

    def plan(self) -> str:
        """What a version's plan says: what and why, and what was expected."""
        parts = [self.entry["title"], self.entry.get("plan", "")]
        if self.entry.get("prediction"):
            parts.append(f"Prediction: {self.entry['prediction']}.")
        return "\n\n".join(p for p in parts if p)

    def summary(self) -> str:
        """What a version's summary says, with what was measured before outside of avo."""
        parts = [self.entry.get("summary", "")]
        if self.entry.get("outcome"):
            parts.append(f"Measured before: {self.entry['outcome']}")
        return " ".join(p for p in parts if p)


def load(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head of a lineage's file, and its entries. Raises CannotRecord."""
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CannotRecord(f"{path} cannot be read: {error}") from error
    return body, list(body.pop("entry", []))


def choose(path: Path, entries: list[dict[str, Any]], kind: str) -> list[Item]:
    """The candidates of a kind, in their order, those that hang last. Raises CannotRecord."""
    wanted = [entry for entry in entries if entry["kind"] == kind]
    items = []
    for entry in sorted(wanted, key=lambda e: bool(e.get("hangs"))):
        try:
            items.append(Item(entry, read_candidate(path.parent / entry["folder"])))
        except EvaluatorError as error:
            raise CannotRecord(str(error)) from error
    return items


class Submitter:
    """Listens to the engine and hands in one candidate after the other."""

    def __init__(
        self,
        folder: Path,
        items: Sequence[Item],
        names: dict[str, str],
        deadline: Deadline,
        guess: float,
        between: Callable[[], None],
    ) -> None:
        """`names`: candidate → name, of all that a parent may be; `guess`: seconds of a candidate
        before one was seen; `between` is called after each, while nothing is measured."""
        self.folder, self.items, self.deadline = folder, items, deadline
        self._guess = guess
        self._names = names
        self._between = between
        done = judged(folder)
        # From a call that was stopped. One that is judged was taken: nothing more is said of it.
        pending = {key: value for key, value in _pending(folder).items() if value not in done}
        self._in_flight: set[str] = set(pending)
        self._numbers: dict[str, int] = {}
        self._began = time.monotonic()
        self._longest = 0.0
        self._stopping = False
        self.reason = ""
        """Why it ended before everything was submitted."""
        state = SessionReader.open(folder).state
        for version in state.versions.values():
            self._numbers.setdefault(names.get(version.candidate, ""), version.number)
        known = done | set(pending.values())
        self._queue = [item for item in items if item.candidate.id not in known]

    def __call__(self, event: ev.Event) -> None:
        """Takes note of an event; sends the next command where one is due."""
        if isinstance(event, ev.VersionCommitted):
            name = self._names.get(event.version.candidate, "")
            self._numbers.setdefault(name, event.version.number)
        if isinstance(event, ev.CommandTaken) and event.id in self._in_flight:
            self._in_flight.discard(event.id)
            self._longest = max(self._longest, time.monotonic() - self._began)
            self._between()
            self._next()
        elif isinstance(event, ev.StateChanged):
            if event.state in {"paused", "parked"}:
                self.stop(event.reason)
            elif event.state == "running" and not event.reason and not self._in_flight:
                self._next()

    @property
    def left(self) -> int:
        """How many were not handed in, or not judged."""
        return len(self._queue) + len(self._in_flight)

    def stop(self, reason: str) -> None:
        """Ends the run in good order; safe to call from any thread."""
        if not self._stopping:
            self._stopping, self.reason = True, reason
            send_command(self.folder, Stop(by=BY))

    def _next(self) -> None:
        if self._stopping or self._in_flight:
            return
        if not self._queue:
            self.stop("")
            return
        guess = self._longest or self._guess
        if self.deadline.left < guess:
            self.stop(
                f"{self.deadline.left:.0f} s are left, and an evaluation may take {guess:.0f}"
            )
            return
        item = self._queue.pop(0)
        self._began = time.monotonic()
        command = Submit(
            candidate=item.candidate,
            plan=item.plan(),
            summary=item.summary(),
            parent=self._numbers.get(item.entry.get("parent", "")),
            author="external",
            by=BY,
        )
        self._in_flight.add(send_command(self.folder, command))


def _pending(folder: Path) -> dict[str, str]:
    """Command → candidate of the submissions that wait in the inbox; an old stop is removed."""
    found = {}
    for path in sorted((folder / "inbox").glob("*.json")):
        try:
            command = parse_command(path.read_bytes())
        except ValueError:
            continue  # the engine answers it with its own sentence
        if isinstance(command, Stop):
            path.unlink()
        elif isinstance(command, Submit):
            found[path.stem] = command.candidate.id
    return found


def judged(folder: Path) -> set[str]:
    """Candidates of which the session says already what became of them."""
    state = SessionReader.open(folder).state
    done = {version.candidate for version in state.versions.values()}
    for attempt in state.attempts.values():
        verdict = attempt.verdict
        decided = attempt.reason or verdict is not Verdict.CORRECT
        if verdict is not None and verdict.judges_candidate and decided:
            done.add(attempt.candidate)
    return done


def record(submitter: Submitter) -> tuple[int, str]:
    """Runs the engine over what is left: how many are left then, and why.

    Raises StoreError, ValueError.
    """
    folder, items, deadline = submitter.folder, submitter.items, submitter.deadline
    planted = bool(SessionReader.open(folder).state.versions)
    if not submitter.left and planted:
        return 0, ""
    alarm: threading.Timer | None = None
    if deadline.seconds is not None:
        alarm = threading.Timer(max(deadline.left, 0.0), submitter.stop, ["the time is up"])
        alarm.daemon = True
        alarm.start()
    try:
        run_engine(folder, listeners=[Printer(sys.stdout), submitter], resume=True)
    finally:
        if alarm is not None:
            alarm.cancel()
    planted = bool(SessionReader.open(folder).state.versions)
    done = judged(folder)
    left = sum(item.candidate.id not in done for item in items) + (0 if planted else 1)
    return left, submitter.reason


def best(folder: Path) -> int:
    """The number of the version with the highest aggregate. Raises CannotRecord."""
    versions = SessionReader.open(folder).state.versions
    if not versions:
        raise CannotRecord(f"{folder.name} has no version yet")
    return max(versions.values(), key=lambda v: v.aggregate).number
