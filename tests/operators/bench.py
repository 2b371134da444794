"""A workbench for tests, faithful to the port: real events folded by the real state.

Evaluation is a toy: the source says what comes out. `SYNTAX` does not compile, `WRONG` is wrong,
and `speed = 1.25` is the score.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.base import ObjectId, now
from avo_tui.domain.budget import Budget, Spend, exhausted
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import Ledger
from avo_tui.domain.gate_rules import GateDecision, Rival, decide
from avo_tui.domain.listing import Window
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.outlook import Spread, outlook, spread
from avo_tui.domain.records import (
    Attempt,
    Direction,
    Hint,
    Intervention,
    Note,
    NoteCategory,
    Profile,
    RunSettings,
    SessionRecord,
    Version,
)
from avo_tui.domain.report import ConfigurationCheck, EvaluationReport
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.scratch import InputsWanted, ScratchReport
from avo_tui.domain.state import SessionState
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evolution.workbench.drafts import last_draft
from avo_tui.operators.draft import Draft
from avo_tui.operators.knowledge_port import KnowledgeHit
from avo_tui.operators.ports import AttemptResult, Interrupted, Presence, StepEnded, SubmitResult

T = TypeVar("T")

SEED = "// a kernel\nconst float speed = 1.00;\nint tile = 16;\n"

TASK = TaskInfo(
    name="toy",
    title="A toy",
    language="cpp",
    description="Do something quickly.",
    configurations=(Configuration(name="small"), Configuration(name="large")),
    baselines=("torch",),
    reference_baseline="torch",
    seed_files=("kernel.cpp",),
)


MACHINE = MachineInfo(
    device="toy processor",
    compiler="toycc 1.0",
    conditions="toy",
    peak_flops={"fp32": 50e9},
    peak_bytes=10e9,
    facts=("8 units at 3 GHz",),
)


def source(speed: float, extra: str = "") -> str:
    return f"// a kernel\nconst float speed = {speed:.2f};\nint tile = 16;\n{extra}"


def judge(candidate: Candidate, benchmark: bool = True) -> EvaluationReport:
    """What the toy harness answers."""
    body = "\n".join(candidate.files.values())

    def report(verdict: Verdict, summary: str, **more: object) -> EvaluationReport:
        return EvaluationReport.model_validate(
            {
                "task": "toy",
                "candidate": candidate.id,
                "verdict": verdict,
                "feedback": Feedback(summary=summary),
                **more,
            }
        )

    if "SYNTAX" in body:
        return report(Verdict.COMPILE_ERROR, "error: expected ';'", reached="compile")
    if "WRONG" in body:
        hidden = ConfigurationCheck(name="hidden", ok=False, detail="shape 7x13 seed 4711")
        checks = (ConfigurationCheck(name="small", ok=False, error=4.0), hidden)
        return report(Verdict.WRONG_RESULT, "off by 4", reached="check", checks=checks)
    if not benchmark:
        return report(Verdict.CORRECT, "correct", reached="check")
    found = re.search(r"speed = ([0-9.]+)", body)
    ratio = float(found.group(1)) if found else 1.0
    rows = tuple(
        ConfigurationScore(
            name=n, throughput=ratio * 10, p20=ratio * 10, p80=ratio * 10, ratio=ratio
        )
        for n in ("small", "large")
    )
    score = Score(unit="GFLOP/s", reference_baseline="torch", configurations=rows)
    return report(Verdict.CORRECT, "correct", reached="benchmark", score=score)


class FakeKnowledge:
    def search(self, query: str, limit: int = 8) -> Sequence[KnowledgeHit]:
        hit = KnowledgeHit(id="doc#1", document="Doc", section="One", snippet=query, score=1.0)
        return [hit] if query != "nothing" else []

    def read(self, identifier: str, offset: int = 0, limit: int = 12_000) -> str:
        return {"doc#1": "long text " * 5000}[identifier][offset : offset + limit]

    def documents(self) -> Sequence[tuple[str, str]]:
        return [("doc", "Doc")]


class FakeBench:
    """The port, over a list of events. `journal` outlives a bench: give it to the next one."""

    def __init__(
        self,
        settings: RunSettings | None = None,
        journal: list[ev.Event] | None = None,
        objects: dict[str, bytes] | None = None,
        step: int = 1,
    ) -> None:
        # one object plays every part of the port
        self.reading = self.evaluating = self.recording = self.control = self
        self.objects = {} if objects is None else dict(objects)
        self.journal: list[ev.Event] = []
        self._step = step
        self.parked: list[tuple[float, str]] = []
        self.paused: list[str] = []
        self.places: list[str] = []
        self.evaluations = 0
        self.runs: list[str] = []
        self.inputs: InputsWanted | None = None
        """Of the latest scratch program."""
        self.evaluation_seconds = 0.0
        self.profiler = False
        self.on_boundary: Callable[[str], None] = lambda place: None
        self.on_work: Callable[[], None] = lambda: None
        self.on_pause: Callable[[str], None] = lambda reason: None
        self._end: StepEnded | None = None
        self._cut: str | None = None
        self._changed = asyncio.Event()
        self._ids = 0
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

    # -- what a test presses

    def hint(self, hint: str) -> Hint:
        return self.state.hints[hint]

    def queue_hint(
        self,
        words: str,
        delivery: Literal["next_tool", "end_of_turn", "now"] = "next_tool",
        scope: Literal["once", "step", "until_cleared"] = "once",
    ) -> str:
        self._ids += 1
        identity = f"hint{len(self.state.hints) + 1}"
        hint = Hint(id=identity, text=words, delivery=delivery, scope=scope, queued_at=now())
        self.record(ev.HintQueued(hint=hint))
        if delivery == "now":
            self.cut("a hint")
        return identity

    def cut(self, reason: str) -> None:
        """As `pause now` followed by a resumption would: what runs is interrupted."""
        self._cut = reason
        self._pulse()

    def end(self, outcome: Literal["aborted", "rewound", "stopped", "nothing"], why: str) -> None:
        self._end = StepEnded(outcome, why)
        self._cut = why
        self._pulse()

    def _pulse(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # -- the port: reading

    @property
    def task(self) -> TaskInfo:
        return TASK

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

    def gate_outlook(self) -> str:
        known = outlook(self.state)
        return known.text if known is not None else ""

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

    # -- the port: acting

    async def boundary(self, place: str, *, end_of_turn: bool = False) -> Sequence[Hint]:
        self.places.append(place)
        self.on_boundary(place)
        await asyncio.sleep(0)
        if self._end is not None:
            raise self._end
        self._cut = None
        due = [
            h
            for h in self.state.hints.values()
            if h.state == "queued" and (end_of_turn or h.delivery != "end_of_turn")
        ]
        for hint in due:
            self.record(ev.HintDelivered(hint=hint.id, where=f"step {self._step}, {place}"))
        return [self.state.hints[h.id] for h in due]

    async def standby(self, arrival: asyncio.Event, presence: Callable[[], Presence]) -> None:
        raise NotImplementedError

    def pause_wanted(self) -> Literal["", "now", "later"]:
        return ""

    def take_hints(self, place: str) -> Sequence[Hint]:
        raise NotImplementedError

    async def interruptible(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            while not task.done() and self._cut is None:
                waiter = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.cancelled():
            raise Interrupted(self._cut or "cut")
        return task.result()

    async def _work(self, name: str) -> None:
        self.runs.append(name)
        self.on_work()
        await self.interruptible(asyncio.sleep(self.evaluation_seconds))

    async def compile(self, candidate: Candidate) -> EvaluationReport:
        await self._work("compile")
        return judge(candidate, benchmark=False)

    async def check(self, candidate: Candidate) -> EvaluationReport:
        await self._work("check")
        return judge(candidate, benchmark=False)

    async def evaluate(self, candidate: Candidate, title: str) -> AttemptResult:
        number = sum(a.step == self._step for a in self.state.attempts.values()) + 1
        attempt = Attempt(
            step=self._step,
            number=number,
            parent=self._head_number,
            candidate=self.keep(candidate.canonical()),
            title=title,
            at=now(),
        )
        known = self.find_attempt(candidate.id)
        self.record(ev.AttemptStarted(attempt=attempt))
        report = judge(candidate)
        if known is not None:
            report = report.model_copy(update={"cached": True})
        else:
            try:
                await self._work("evaluate")
            except Interrupted:
                cancelled = EvaluationReport(
                    task="toy",
                    candidate=candidate.id,
                    verdict=Verdict.CANCELLED,
                    feedback=Feedback(summary="cancelled"),
                )
                self.record(ev.AttemptFinished(attempt=number, report=cancelled))
                raise
            self.evaluations += 1
            self.record(ev.Spent(spend=Spend(evaluations=1)))
        self.record(ev.AttemptFinished(attempt=number, report=report))
        return AttemptResult(step=self._step, number=number, candidate=candidate.id, report=report)

    @property
    def width(self) -> int:
        return 1

    async def evaluate_many(
        self, candidates: Iterable[tuple[Candidate, str]], *, sweep: bool = False
    ) -> Sequence[AttemptResult]:
        return [await self.evaluate(candidate, title) for candidate, title in candidates]

    async def submit(
        self, attempt: AttemptResult, plan: str, summary: str, built_on: Sequence[Note] = ()
    ) -> SubmitResult:
        await self._work("submit")
        best = self.best()
        score = attempt.report.score
        assert score is not None
        decision = _beside(score, best)
        self.record(ev.GateDecided(attempt=attempt.number, decision=decision))
        if not decision.accepted:
            self.record(ev.AttemptRejected(attempt=attempt.number, reason=decision.reason))
            return SubmitResult(decision=decision, reason=decision.reason)
        version = Version(
            number=max(self.state.versions) + 1,
            parent=self._head_number,
            step=self._step,
            attempt=attempt.number,
            candidate=attempt.candidate,
            score=score,
            gate=decision,
            plan=plan,
            summary=summary,
            author="agent",
            created=now(),
            built_on=tuple(built_on),
        )
        self.record(ev.VersionCommitted(version=version))
        return SubmitResult(decision=decision, version=version)

    async def compare(
        self, candidate: Candidate, other: Candidate, replicate: int = 0
    ) -> EvaluationReport:
        await self._work("compare")
        mine, theirs = judge(candidate), judge(other)
        if mine.score is None or theirs.score is None:
            return mine
        ratio = mine.score.aggregate / theirs.score.aggregate
        rows = {c.name: (ratio, ratio, ratio) for c in mine.score.configurations}
        return mine.replaced(score=None, paired=PairedMeasurement(configurations=rows))

    async def scratch(
        self, files: dict[str, str], inputs: InputsWanted | None = None
    ) -> ScratchReport:
        await self._work("scratch")
        self.inputs = inputs
        return ScratchReport(
            compiled=True, exit_code=0, outcome="ended with exit code 0", stdout="42\n"
        )

    async def profile(self, candidate: Candidate, configuration: str | None = None) -> str:
        await self._work("profile")
        if not self.profiler:
            return "There is no profiler here."
        text = f"busy {configuration or 'small'}\n  Memory Throughput   93 %\n" + "  more\n" * 40
        profile = Profile(
            id=f"{candidate.id}:{configuration or ''}",
            candidate=candidate.id,
            configuration=configuration or "",
            report=self.keep(text),
            summary="\n".join(text.splitlines()[:3]),
            at=now(),
        )
        self.record(ev.CandidateProfiled(profile=profile))
        return text

    async def disassemble(
        self, candidate: Candidate, function: str | None = None, window: Window | None = None
    ) -> str:
        await self._work("disassemble")
        return f"{function or 'attention'}, 2 lines\n  mulps\n  addps"

    async def park(self, seconds: float, reason: str) -> None:
        self.parked.append((seconds, reason))
        assert len(self.parked) < 40, f"parked without end: {reason}"
        self.record(ev.StateChanged(state="parked", reason=reason, until=now()))
        await asyncio.sleep(0)
        if self._end is not None:
            raise self._end
        self.record(ev.StateChanged(state="running"))

    async def pause_for(self, reason: str) -> None:
        self.paused.append(reason)
        assert len(self.paused) < 20, f"paused without end: {reason}"
        self.record(ev.StateChanged(state="paused", reason=reason))
        self.on_pause(reason)
        await asyncio.sleep(0)
        if self._end is not None:
            raise self._end
        self.record(ev.StateChanged(state="running"))

    def spent(self, spend: Spend) -> None:
        self.record(ev.Spent(spend=spend))

    def budget_left(self) -> str | None:
        budget, run, step = self.remaining()
        for caps, spend in ((budget.run, run), (budget.step, step)):
            used = exhausted(caps, spend)
            if used is not None:
                return f"{used.used:g} of {used.cap:g} {used.unit}"
        return None

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

    def hint_effect(self, hint: str, effect: str) -> None:
        where = self.state.hints[hint].where
        self.record(ev.HintDelivered(hint=hint, where=where, effect=effect))

    def write_note(self, category: NoteCategory, text: str, replaces: Sequence[str] = ()) -> Note:
        held = sum(len(n.text) for n in self.notes() if n.id not in replaces) + len(text)
        if held > self.memory_limit:
            raise ValueError(f"the memory would hold {held} of {self.memory_limit} characters")
        note = Note(
            id=f"n{len(self.journal)}", category=category, text=text, step=self._step, at=now()
        )
        self.record(ev.NoteWritten(note=note))
        for identity in replaces:
            self.forget_note(identity)
        return note

    def forget_note(self, note: str) -> None:
        if note not in self.state.memory:
            raise KeyError(note)
        self.record(ev.NoteRemoved(note=note))

    # -- questions of tests

    def of(self, kind: type[T]) -> list[T]:
        return [e for e in self.journal if isinstance(e, kind)]

    def troubles(self) -> list[str]:
        return [e.message for e in self.of(ev.TroubleNoted)]


def _beside(score: Score, best: Version) -> GateDecision:
    """What the strict gate says where each replicate shows the ratio of the two scores."""
    ratio = score.aggregate / best.aggregate
    one = PairedMeasurement(configurations={"all": (ratio, ratio, ratio)})
    ledger = Ledger([])
    comparison = ledger.begin("a" * 64, best.candidate, "")
    while True:
        comparison = comparison.replaced(replicates=(*comparison.replicates, one))
        decision = decide("strict", Rival(best.number, best.score), comparison, ledger)
        if decision is not None:
            return decision.replaced(comparison=None)
