"""What a step may read, as an operator sees it; part of the interface in `ports.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from avo_tui.domain.base import ObjectId
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import Event
from avo_tui.domain.evidence import PairedGains
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.outlook import Spread
from avo_tui.domain.records import Attempt, Direction, Hint, Intervention, Note, Profile, Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.task import TaskInfo
from avo_tui.operators.draft import Draft


class Reading(Protocol):
    """What a step may read: the lineage, the attempts, the hints, the memory."""

    @property
    def task(self) -> TaskInfo: ...

    @property
    def step(self) -> int: ...

    @property
    def head(self) -> Version:
        """The version this step started from."""
        ...

    @property
    def settings(self) -> RunSettings: ...

    @property
    def folder(self) -> Path:
        """The session's folder, for an operator that other processes must find."""
        ...

    @property
    def machine(self) -> MachineInfo | None:
        """The machine that candidates are measured on; None before the evaluator was asked."""
        ...

    def draft(self) -> Draft | None:
        """What the previous step left uncommitted, if that step started at this head."""
        ...

    def profiles(self, candidate: ObjectId) -> Sequence[Profile]:
        """Profiles that were made of a candidate, newest last."""
        ...

    def versions(self) -> Sequence[Version]:
        """All versions, ascending by number."""
        ...

    def best(self) -> Version:
        """The best version of the head's line: what the gate compares with."""
        ...

    def gate_outlook(self) -> str:
        """What the gate asks of the next candidate, and what a pair takes; "" if not known."""
        ...

    def busy(self) -> str:
        """Why the machine is not quiet now, in a phrase: its load, and who else measures on it.

        "" if it is quiet, or where that is not known.
        """
        ...

    def queue(self) -> str:
        """What waits for workers that come and go, in words; "" where a device is at hand."""
        ...

    def paired(self, candidate: ObjectId) -> PairedGains | None:
        """What the gate measured of a candidate in turn with a version; None if it never did."""
        ...

    def spread(self) -> Spread:
        """How much pairs of fresh processes scatter, as far as the run has measured it."""
        ...

    def candidate(self, identity: ObjectId) -> Candidate:
        """Source of any candidate that was ever evaluated. Raises KeyError."""
        ...

    def attempts(self, step: int | None = None) -> Sequence[Attempt]:
        """Attempts of one step, or of all steps, in order."""
        ...

    def report(self, step: int, number: int) -> EvaluationReport | None:
        """The whole report of an attempt, if it was finished."""
        ...

    def find_attempt(self, candidate: ObjectId) -> Attempt | None:
        """The first finished attempt with exactly this candidate; None if there is none."""
        ...

    def step_events(self) -> Sequence[Event]:
        """The events of this step so far; not empty if the step continues after an interruption."""
        ...

    def rewind_reason(self) -> str | None:
        """The person's reason for the rewind to this head; None without a rewind."""
        ...

    def directions(self) -> Sequence[Direction]:
        """Directions of the supervisor or the person that currently apply."""
        ...

    def interventions(self) -> Sequence[Intervention]:
        """Interventions that are active."""
        ...

    def notes(self) -> Sequence[Note]:
        """The notes of the memory."""
        ...

    @property
    def memory_limit(self) -> int:
        """Largest number of characters that the memory may hold."""
        ...

    def hints_in_force(self) -> Sequence[Hint]:
        """Hints delivered earlier that still apply."""
        ...

    def hint(self, hint: str) -> Hint:
        """A hint by its id, whatever became of it. Raises KeyError."""
        ...

    def remaining(self) -> tuple[Budget, Spend, Spend]:
        """(caps, spend of the run, spend of this step)."""
        ...

    def fetch(self, identity: ObjectId) -> bytes:
        """The object with this hash. Raises KeyError."""
        ...
