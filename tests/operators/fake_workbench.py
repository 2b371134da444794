"""A workbench for tests, faithful to the port: real events folded by the real state.

What it evaluates is the task of `toy_task.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeVar, cast

from avo_tui.domain import events as ev
from avo_tui.domain.base import Value, now
from avo_tui.domain.budget import Spend, exhausted
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import (
    Alternation,
    Answer,
    CheckQuestion,
    CompileQuestion,
    InputsWanted,
    ListingQuestion,
    ProfileQuestion,
    ProfileWanted,
    Question,
    QuickComparison,
    QuickQuestion,
    RemeasureQuestion,
    ScratchQuestion,
    ScratchReport,
    Text,
)
from avo_tui.domain.records import Attempt, Hint, Note, NoteCategory, Profile, Version
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.score import PairedMeasurement
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.operators.ports import AttemptResult, Interrupted, Presence, StepEnded, SubmitResult
from tests.operators.fake_run import FakeRun
from tests.operators.toy_task import (
    judge,
    strict_decision,
)

T = TypeVar("T")


class FakeWorkbench(FakeRun):
    """The whole port: one object plays every part of it."""

    def __init__(
        self,
        settings: RunSettings | None = None,
        journal: list[ev.Event] | None = None,
        objects: dict[str, bytes] | None = None,
        step: int = 1,
    ) -> None:
        super().__init__(settings, journal, objects, step)
        self.reading = self.evaluating = self.recording = self.control = self
        self.parked: list[tuple[float, str]] = []
        self.paused: list[str] = []
        self.places: list[str] = []
        self.evaluations = 0
        self.runs: list[str] = []
        self.more: list[bool] = []
        """Of each comparison, whether it said that another one follows."""
        self.sinks: list[Callable[[EvaluationProgress], None]] = []
        self.inputs: InputsWanted | None = None
        """Of the latest scratch program."""
        self.evaluation_seconds = 0.0
        self.profiler = False
        self.profiled: ProfileWanted | None = None
        """What was asked of the profiler last."""
        self.on_boundary: Callable[[str], None] = lambda place: None
        self.on_work: Callable[[], None] = lambda: None
        self.on_pause: Callable[[str], None] = lambda reason: None
        self._end: StepEnded | None = None
        self._cut: str | None = None
        self._changed = asyncio.Event()
        self._ids = 0

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
            self.record(ev.HintDelivered(hint=hint.id, where=f"step {self.step}, {place}"))
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
            while not task.done() and self._cut is None:  # ends: with the task
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

    @contextmanager
    def listening(self, sink: Callable[[EvaluationProgress], None]) -> Iterator[None]:
        self.sinks.append(sink)
        yield
        self.sinks.remove(sink)

    async def evaluate(self, candidate: Candidate, title: str) -> AttemptResult:
        number = sum(a.step == self.step for a in self.state.attempts.values()) + 1
        attempt = Attempt(
            step=self.step,
            number=number,
            parent=self.head.number,
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
        return AttemptResult(step=self.step, number=number, candidate=candidate.id, report=report)

    @property
    def width(self) -> int:
        return 1

    async def evaluate_many(
        self,
        candidates: Iterable[tuple[Candidate, str]],
        *,
        sweep: bool = False,
        each: Callable[[AttemptResult], None] = lambda result: None,
    ) -> Sequence[AttemptResult]:
        results = []
        for candidate, title in candidates:
            results.append(await self.evaluate(candidate, title))
            each(results[-1])
        return results

    async def submit(
        self,
        attempt: AttemptResult,
        plan: str,
        summary: str,
        built_on: Sequence[Note] = (),
        *,
        idea: str = "",
    ) -> SubmitResult:
        await self._work("submit")
        best = self.best()
        score = attempt.report.score
        assert score is not None
        decision = strict_decision(score, best)
        self.record(ev.GateDecided(attempt=attempt.number, decision=decision))
        if not decision.accepted:
            self.record(ev.AttemptRejected(attempt=attempt.number, reason=decision.reason))
            return SubmitResult(decision=decision, reason=decision.reason)
        version = Version(
            number=max(self.state.versions) + 1,
            parent=self.head.number,
            step=self.step,
            attempt=attempt.number,
            candidate=attempt.candidate,
            score=score.replaced(breadth={"small rising": 0.41}),
            gate=decision,
            idea=idea,
            plan=plan,
            summary=summary,
            author="agent",
            created=now(),
            built_on=tuple(built_on),
        )
        self.record(ev.VersionCommitted(version=version))
        return SubmitResult(decision=decision, version=version)

    async def ask(self, question: Question[Answer]) -> Answer:
        quick = isinstance(question, CheckQuestion) and question.quick
        await self._work("quick check" if quick else question.op)
        answer: Value
        match question:
            case RemeasureQuestion():
                answer = self._remeasured(question)
            case CompileQuestion() | CheckQuestion():
                answer = judge(question.candidate, benchmark=False)
            case QuickQuestion():
                answer = self._compared(question)
            case ScratchQuestion(inputs=inputs):
                self.inputs = inputs
                answer = ScratchReport(
                    compiled=True, exit_code=0, outcome="ended with exit code 0", stdout="42\n"
                )
            case ProfileQuestion():
                answer = Text(text=self._profiled(question))
            case ListingQuestion(function=function):
                answer = Text(text=f"{function or 'attention'}, 2 lines\n  mulps\n  addps")
            case _:
                raise AssertionError(question)
        return cast("Answer", answer)

    def _remeasured(self, question: RemeasureQuestion) -> EvaluationReport:
        self.more.append(question.more)
        mine, theirs = (judge(Candidate(files=f)) for f in (question.files, question.other))
        if mine.score is None or theirs.score is None:
            return mine
        ratio = mine.score.aggregate / theirs.score.aggregate
        rows = {c.name: (ratio, ratio, ratio) for c in mine.score.configurations}
        return mine.replaced(score=None, paired=PairedMeasurement(configurations=rows))

    def _compared(self, question: QuickQuestion) -> QuickComparison:
        self.more.append(question.more)
        mine, theirs = (judge(Candidate(files=f)) for f in (question.files, question.other))
        if mine.score is None or theirs.score is None:
            return QuickComparison(trouble=mine.feedback.summary)
        ratio = mine.score.aggregate / theirs.score.aggregate
        calls = Alternation(speeds=(ratio * 0.999, ratio, ratio * 1.001), milliseconds=2.0)
        chosen = question.configuration
        names = [c.name for c in mine.score.configurations if chosen in {None, c.name}]
        rows = dict.fromkeys(names, calls)
        return QuickComparison(configurations=rows, calls=120, seconds=question.seconds)

    def _profiled(self, question: ProfileQuestion) -> str:
        self.profiled = wanted = question.wanted
        candidate = Candidate(files=question.files)
        if not self.profiler:
            return "There is no profiler here."
        text = f"busy {wanted.configuration or 'small'}\n  Memory Throughput   93 %\n"
        text += "  more\n" * 40
        profile = Profile(
            id=f"{candidate.id}:{wanted.name}",
            candidate=candidate.id,
            configuration=wanted.configuration,
            report=self.keep(text),
            summary="\n".join(text.splitlines()[:3]),
            at=now(),
        )
        self.record(ev.CandidateProfiled(profile=profile))
        return text

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

    def hint_effect(self, hint: str, effect: str) -> None:
        where = self.state.hints[hint].where
        self.record(ev.HintDelivered(hint=hint, where=where, effect=effect))

    def write_note(self, category: NoteCategory, text: str, replaces: Sequence[str] = ()) -> Note:
        held = sum(len(n.text) for n in self.notes() if n.id not in replaces) + len(text)
        if held > self.memory_limit:
            raise ValueError(f"the memory would hold {held} of {self.memory_limit} characters")
        note = Note(
            id=f"n{len(self.journal)}", category=category, text=text, step=self.step, at=now()
        )
        self.record(ev.NoteWritten(note=note))
        for identity in replaces:
            self.forget_note(identity)
        return note

    def forget_note(self, note: str) -> None:
        if note not in self.state.memory:
            raise KeyError(note)
        self.record(ev.NoteRemoved(note=note))
