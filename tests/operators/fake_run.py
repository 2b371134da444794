"""A run for tests of operators: real events folded by the real state, and what a step reads."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from avo_tui.domain import events as ev
from avo_tui.domain.base import ObjectId, now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.records import (
    Attempt,
    SessionRecord,
    Version,
)
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.state import SessionState
from avo_tui.operators.reading import Reading
from tests.operators.toy_task import (
    MACHINE,
    SEED,
    TASK,
    FakeKnowledge,
    judge,
)

T = TypeVar("T")


class FakeRecord:
    """A session's record: a list of events, and objects in memory."""

    state: SessionState

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.journal: list[ev.Event] = []

    @property
    def folder(self) -> Path:
        raise NotImplementedError  # no operator that is tested here looks for its folder

    def get(self, identity: ObjectId) -> bytes:
        return self.objects[identity]

    def report(self, attempt: Attempt) -> EvaluationReport | None:
        for event in self.step_events(attempt.step):
            if isinstance(event, ev.AttemptFinished) and event.attempt == attempt.number:
                return event.report
        return None

    def step_events(self, step: int) -> Sequence[ev.Event]:
        return [e for e in self.journal if e.step == step]


class FakeRun(Reading):
    """What a step reads, over a list of events.

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
        self._fake = FakeRecord(self.objects)
        self.journal = self._fake.journal
        self.occupied = ""
        """Why the machine is not quiet."""
        self.step = step
        self._record = self._fake
        settings = settings or RunSettings(operator="agent", model="test-model")
        if journal:
            first = journal[0]
            assert isinstance(first, ev.SessionCreated)
            self._fake.state = SessionState.begin(first)
            self.journal.append(first)
            for event in journal[1:]:
                self.state.apply(event)
                self.journal.append(event)
        else:
            session = SessionRecord(name="test", task=TASK, created=now(), settings=settings)
            session = session.model_copy(update={"budget": settings.budget})
            created = ev.SessionCreated(seq=1, session=session)
            self._fake.state = SessionState.begin(created)
            self.journal.append(created)
            self._commit_seed()
            self.record(ev.StepStarted(parent=0))
        self.head = self.state.versions[self.state.session.head or 0]

    def begin(self, step: int) -> None:
        """Begin a step at the head, as the engine does; the first one has begun already."""
        self.step = step
        self.head = self.state.versions[self.state.session.head or 0]
        if step not in self.state.steps:
            self.record(ev.StepStarted(step=step, parent=self.head.number))

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
    def knowledge(self) -> FakeKnowledge:
        return FakeKnowledge()

    @property
    def machine(self) -> MachineInfo | None:
        return MACHINE

    @property
    def conditions(self) -> str:
        return ""

    @property
    def memory_limit(self) -> int:
        return 2000

    def busy(self) -> str:
        return self.occupied

    # -- the port: recording

    def record(self, event: ev.Event) -> None:
        self._append(event.model_copy(update={"step": event.step or self.step}))

    def keep(self, text: str | bytes) -> ObjectId:
        data = text.encode() if isinstance(text, str) else text
        identity = hashlib.sha256(data).hexdigest()
        self.objects[identity] = data
        return identity

    # -- questions of tests

    def of(self, kind: type[T]) -> list[T]:
        return [e for e in self.journal if isinstance(e, kind)]

    def troubles(self) -> list[str]:
        return [e.message for e in self.of(ev.TroubleNoted)]
