"""A run for tests of operators: real events folded by the real state, and what a step reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.base import ObjectId, now
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import PairedGains
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.outlook import Spread, outlook, paired_gains, spread
from avo_tui.domain.records import (
    Attempt,
    Direction,
    Hint,
    Intervention,
    Note,
    Profile,
    SessionRecord,
    Version,
)
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.state import SessionState
from avo_tui.domain.task import TaskInfo
from avo_tui.evolution.workbench.drafts import last_draft
from avo_tui.operators.draft import Draft
from tests.operators.toy_task import (
    MACHINE,
    SEED,
    TASK,
    FakeKnowledge,
    judge,
)

T = TypeVar("T")


class FakeRun:
    """The part of the port that reads, over a list of events.

    `journal` and `objects` outlive a workbench: give them to the next one.
    """

    def __init__(
        self,
        settings: RunSettings | None = None,
        journal: list[ev.Event] | None = None,
        objects: dict[str, bytes] | None = None,
        step: int = 1,
    ) -> None:
        self.objects = {} if objects is None else dict(objects)
        self.journal: list[ev.Event] = []
        self._step = step
        self.occupied = ""
        """Why the machine is not quiet."""
        settings = settings or RunSettings(operator="agent", model="test-model")
        if journal:
            first = journal[0]
            assert isinstance(first, ev.SessionCreated)
            self.state = SessionState.begin(first)
            self.journal = [first]
            for event in journal[1:]:
                self.state.apply(event)
                self.journal.append(event)
        else:
            session = SessionRecord(name="test", task=TASK, created=now(), settings=settings)
            session = session.model_copy(update={"budget": settings.budget})
            created = ev.SessionCreated(seq=1, session=session)
            self.state = SessionState.begin(created)
            self.journal = [created]
            self._commit_seed()
            self.record(ev.StepStarted(parent=0))
        self._head_number = self.state.session.head or 0

    def begin(self, step: int) -> None:
        """Begin a step at the head, as the engine does; the first one has begun already."""
        self._step = step
        self._head_number = self.state.session.head or 0
        if step not in self.state.steps:
            self.record(ev.StepStarted(step=step, parent=self._head_number))

    def _commit_seed(self) -> None:
        seed = Candidate(files={"kernel.cpp": SEED})
        score = judge(seed).score
        assert score is not None
        self._append(
            ev.VersionCommitted(
                step=0,
                version=Version(
                    number=0,
                    parent=None,
                    step=0,
                    candidate=self.keep(seed.canonical()),
                    score=score,
                    gate=GateDecision(gate="seed", accepted=True, reason="the seed"),
                    author="seed",
                    created=now(),
                ),
            )
        )

    def _append(self, event: ev.Event) -> None:
        event = event.model_copy(update={"seq": len(self.journal) + 1})
        self.state.apply(event)
        self.journal.append(event)

    # -- the port: reading

    @property
    def task(self) -> TaskInfo:
        return self.state.session.task

    @property
    def step(self) -> int:
        return self._step

    @property
    def head(self) -> Version:
        return self.state.versions[self._head_number]

    @property
    def settings(self) -> RunSettings:
        return self.state.session.settings

    @property
    def folder(self) -> Path:
        raise NotImplementedError  # no operator that is tested here looks for its folder

    @property
    def knowledge(self) -> FakeKnowledge:
        return FakeKnowledge()

    @property
    def machine(self) -> MachineInfo | None:
        return MACHINE

    def draft(self) -> Draft | None:
        return last_draft(
            lambda step: [e for e in self.journal if e.step == step], self._step, self.head
        )

    def profiles(self, candidate: ObjectId) -> Sequence[Profile]:
        return [p for p in self.state.profiles.values() if p.candidate == candidate]

    def versions(self) -> Sequence[Version]:
        return [self.state.versions[n] for n in sorted(self.state.versions)]

    def best(self) -> Version:
        return lineage.line_best(self.state.versions, self._head_number)

    def busy(self) -> str:
        return self.occupied

    def queue(self) -> str:
        return ""

    def gate_outlook(self) -> str:
        known = outlook(self.state)
        return known.text if known is not None else ""

    def paired(self, candidate: ObjectId) -> PairedGains | None:
        return paired_gains(self.state, candidate)

    def spread(self) -> Spread:
        return spread(self.state)

    def candidate(self, identity: ObjectId) -> Candidate:
        return Candidate.model_validate_json(self.objects[identity])

    def attempts(self, step: int | None = None) -> Sequence[Attempt]:
        return [a for a in self.state.attempts.values() if step is None or a.step == step]

    def report(self, step: int, number: int) -> EvaluationReport | None:
        for event in self.journal:
            if (
                isinstance(event, ev.AttemptFinished)
                and event.step == step
                and event.attempt == number
            ):
                return event.report
        return None

    def find_attempt(self, candidate: ObjectId) -> Attempt | None:
        for attempt in self.state.attempts.values():
            judged = attempt.verdict is not None and attempt.verdict.judges_candidate
            if attempt.candidate == candidate and judged:
                return attempt
        return None

    def step_events(self) -> Sequence[ev.Event]:
        return [e for e in self.journal if e.step == self._step]

    def rewind_reason(self) -> str | None:
        for event in reversed(self.journal):
            if isinstance(event, ev.Rewound) and event.step == self._step - 1:
                return event.reason
        return None

    def directions(self) -> Sequence[Direction]:
        return [d for i in self.interventions() for d in i.directions]

    def interventions(self) -> Sequence[Intervention]:
        return [i for i in self.state.supervision.values() if i.state == "active"]

    def notes(self) -> Sequence[Note]:
        return list(self.state.memory.values())

    @property
    def memory_limit(self) -> int:
        return 2000

    def hints_in_force(self) -> Sequence[Hint]:
        return [h for h in self.state.live_hints if h.state == "delivered"]

    def remaining(self) -> tuple[Budget, Spend, Spend]:
        step = self.state.steps.get(self._step)
        session = self.state.session
        return session.budget, session.spend, step.spend if step else Spend()

    # -- the port: recording

    def record(self, event: ev.Event) -> None:
        self._append(event.model_copy(update={"step": event.step or self._step}))

    def keep(self, text: str | bytes) -> ObjectId:
        data = text.encode() if isinstance(text, str) else text
        identity = hashlib.sha256(data).hexdigest()
        self.objects[identity] = data
        return identity

    def fetch(self, identity: ObjectId) -> bytes:
        return self.objects[identity]

    # -- questions of tests

    def of(self, kind: type[T]) -> list[T]:
        return [e for e in self.journal if isinstance(e, kind)]

    def troubles(self) -> list[str]:
        return [e.message for e in self.of(ev.TroubleNoted)]
