"""What a step may read: the lineage, the attempts, the hints, the memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.base import ObjectId
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import PairedGains
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.outlook import Spread, outlook, paired_gains, spread
from avo_tui.domain.records import Attempt, Direction, Hint, Intervention, Note, Profile, Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.state import SessionState
from avo_tui.domain.task import TaskInfo
from avo_tui.operators.draft import Draft, last_draft


class Record(Protocol):
    """A session's record: of an engine that writes it, or of one that has ended."""

    state: SessionState

    @property
    def folder(self) -> Path: ...

    def get(self, identity: ObjectId) -> bytes: ...

    def report(self, attempt: Attempt) -> EvaluationReport | None: ...

    def step_events(self, step: int) -> Sequence[ev.Event]: ...


class Reading:
    """What is read from the record alone; the engine adds what it knows of machine and budget."""

    def __init__(self, record: Record, step: int, head: Version) -> None:
        """`head` is the version that the step started from."""
        self._record = record
        self.step = step
        self.head = head

    @property
    def state(self) -> SessionState:
        return self._record.state

    @property
    def task(self) -> TaskInfo:
        return self.state.session.task

    @property
    def settings(self) -> RunSettings:
        return self.state.session.settings

    @property
    def folder(self) -> Path:
        """The session's folder, for an operator that other processes must find."""
        return self._record.folder

    @property
    def machine(self) -> MachineInfo | None:
        """The machine that candidates are measured on; None before the evaluator was asked."""
        return None

    @property
    def conditions(self) -> str:
        """Key of the conditions of measurements made now; empty until the machine is known."""
        return self.machine.conditions if self.machine is not None else ""

    def draft(self) -> Draft | None:
        """What the previous step left uncommitted, if that step started at this head."""
        return last_draft(self._record.step_events, self.step, self.head)

    def profiles(self, candidate: ObjectId) -> Sequence[Profile]:
        return [p for p in self.state.profiles.values() if p.candidate == candidate]

    def versions(self) -> Sequence[Version]:
        return [self.state.versions[n] for n in sorted(self.state.versions)]

    def best(self) -> Version:
        """The best version of the head's line: what the gate compares with."""
        head = self.state.session.head
        assert head is not None
        return lineage.line_best(self.state.versions, head)

    def gate_outlook(self) -> str:
        """What the gate asks of the next candidate, and what a pair takes; "" if not known."""
        known = outlook(self.state, self.conditions)
        return known.text if known is not None else ""

    def busy(self) -> str:
        """Why the machine is not quiet now, in a phrase: its load, and who else measures on it.

        "" if it is quiet, or where that is not known.
        """
        return ""

    def unaudited(self) -> str:
        """Which version is still to be measured again, why not now, and when; "" where none is."""
        return ""

    def queue(self) -> str:
        """What waits for workers that come and go, in words; "" where a device is at hand."""
        return ""

    def paired(self, candidate: ObjectId) -> PairedGains | None:
        """What the gate measured of a candidate in turn with a version; None if it never did."""
        return paired_gains(self.state, candidate)

    def spread(self) -> Spread:
        """How much pairs of fresh processes scatter, as far as the run has measured it."""
        return spread(self.state, self.conditions)

    def candidate(self, identity: ObjectId) -> Candidate:
        """Source of any candidate that was ever evaluated. Raises KeyError."""
        return Candidate.model_validate_json(self.fetch(identity))

    def attempts(self, step: int | None = None) -> Sequence[Attempt]:
        attempts = self.state.attempts
        if step is None:
            return list(attempts.values())
        of_step: list[Attempt] = []
        for attempt in reversed(attempts.values()):
            if attempt.step < step:
                break
            if attempt.step == step:
                of_step.append(attempt)
        return of_step[::-1]

    def report(self, step: int, number: int) -> EvaluationReport | None:
        attempt = self.state.attempts.get((step, number))
        return self._record.report(attempt) if attempt is not None else None

    def find_attempt(self, candidate: ObjectId) -> Attempt | None:
        """The first finished attempt with exactly this candidate; None if there is none."""
        for attempt in self.state.attempts.values():
            judged = attempt.verdict is not None and attempt.verdict.judges_candidate
            if attempt.candidate == candidate and judged:
                return attempt
        return None

    def step_events(self) -> Sequence[ev.Event]:
        """The events of this step so far; not empty if the step continues after an interruption."""
        return self._record.step_events(self.step)

    def rewind_reason(self) -> str | None:
        """The person's reason for the rewind to this head; None without a rewind."""
        if self.step == 0:
            return None
        for event in reversed(self._record.step_events(self.step - 1)):
            if isinstance(event, ev.Rewound):
                same = event.target == self.head.number
                return (event.reason or "no reason was given") if same else None
        return None

    def directions(self) -> Sequence[Direction]:
        """Directions of the supervisor or the person that currently apply."""
        return [d for i in self.interventions() for d in i.directions]

    def interventions(self) -> Sequence[Intervention]:
        return [i for i in self.state.supervision.values() if i.state == "active"]

    def notes(self) -> Sequence[Note]:
        return list(self.state.memory.values())

    @property
    def memory_limit(self) -> int:
        return self.state.session.memory_limit

    def hints_in_force(self) -> Sequence[Hint]:
        """Hints delivered earlier that still apply."""
        return [h for h in self.state.live_hints if h.state == "delivered"]

    def hint(self, hint: str) -> Hint:
        """A hint by its id, whatever became of it. Raises KeyError."""
        return self.state.hints[hint]

    def remaining(self) -> tuple[Budget, Spend, Spend]:
        """(caps, spend of the run, spend of this step)."""
        session, step = self.state.session, self.state.steps.get(self.step)
        return session.budget, session.spend, step.spend if step is not None else Spend()

    def fetch(self, identity: ObjectId) -> bytes:
        """The object with this hash. Raises KeyError."""
        return self._record.get(identity)
