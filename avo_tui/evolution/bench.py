"""A step's place of work, as the operator of variation sees it: the port `Workbench`."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from avo_tui.domain import events as ev
from avo_tui.domain import memory
from avo_tui.domain.base import ObjectId, now
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import (
    Attempt,
    Direction,
    Hint,
    Intervention,
    Note,
    NoteCategory,
    RunSettings,
    Version,
)
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import EvaluationReport
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution import gate
from avo_tui.operators.ports import (
    AttemptResult,
    Knowledge,
    ScratchReport,
    StepEnded,
    SubmitResult,
)

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine

T = TypeVar("T")


class Bench:
    """One step's workbench over the engine."""

    def __init__(self, engine: Engine, step: int, head: Version) -> None:
        self._engine = engine
        self._step = step
        self._head = head

    @property
    def task(self) -> TaskInfo:
        """The task of the session."""
        return self._engine.state.session.task

    @property
    def step(self) -> int:
        """Number of the step."""
        return self._step

    @property
    def head(self) -> Version:
        """The version this step started from."""
        return self._head

    @property
    def settings(self) -> RunSettings:
        """How the session is run."""
        return self._engine.state.session.settings

    @property
    def knowledge(self) -> Knowledge:
        """K."""
        return self._engine.knowledge

    # -- reading

    def versions(self) -> Sequence[Version]:
        """All versions, ascending by number."""
        return [self._engine.state.versions[n] for n in sorted(self._engine.state.versions)]

    def best(self) -> Version:
        """The best version of the head's line."""
        return self._engine.reference()

    def candidate(self, identity: ObjectId) -> Candidate:
        """Source of any candidate that was ever evaluated. Raises KeyError."""
        return self._engine.candidate(identity)

    def attempts(self, step: int | None = None) -> Sequence[Attempt]:
        """Attempts of one step, or of all steps, in order."""
        attempts = self._engine.state.attempts
        if step is None:
            return list(attempts.values())
        found: list[Attempt] = []
        for attempt in reversed(attempts.values()):
            if attempt.step < step:
                break
            if attempt.step == step:
                found.append(attempt)
        return found[::-1]

    def report(self, step: int, number: int) -> EvaluationReport | None:
        """The whole report of an attempt, if it was finished."""
        attempt = self._engine.state.attempts.get((step, number))
        return self._engine.report(attempt) if attempt is not None else None

    def find_attempt(self, candidate: ObjectId) -> Attempt | None:
        """The first finished attempt at this very candidate, if there was one."""
        return self._engine.find_attempt(candidate)

    def step_events(self) -> Sequence[ev.Event]:
        """What was recorded in this step so far."""
        return self._engine.writer.step_events(self._step)

    def rewind_reason(self) -> str | None:
        """Why the person rewound to the head, if that is how this step came to start."""
        if self._step == 0:
            return None
        for event in reversed(self._engine.writer.step_events(self._step - 1)):
            if isinstance(event, ev.Rewound):
                same = event.target == self._head.number
                return (event.reason or "no reason was given") if same else None
        return None

    def directions(self) -> Sequence[Direction]:
        """Directions of the supervisor or the person that are in force."""
        return [d for i in self.interventions() for d in i.directions]

    def interventions(self) -> Sequence[Intervention]:
        """Interventions that are active."""
        return [i for i in self._engine.state.supervision.values() if i.state == "active"]

    def notes(self) -> Sequence[Note]:
        """The memory."""
        return list(self._engine.state.memory.values())

    @property
    def memory_limit(self) -> int:
        """Characters that the memory may hold."""
        return self._engine.state.session.memory_limit

    def hints_in_force(self) -> Sequence[Hint]:
        """Hints delivered earlier whose scope still holds."""
        return [h for h in self._engine.state.live_hints if h.state == "delivered"]

    def hint(self, hint: str) -> Hint:
        """A hint by its id, whatever became of it. Raises KeyError."""
        return self._engine.state.hints[hint]

    def remaining(self) -> tuple[Budget, Spend, Spend]:
        """(caps, spend of the run, spend of this step)."""
        run, step = self._engine.budget.spend()
        return self._engine.state.session.budget, run, step

    # -- acting

    async def boundary(self, place: str, *, end_of_turn: bool = False) -> Sequence[Hint]:
        """A point between two tools: waits while paused, and returns the hints to deliver now."""
        engine = self._engine
        engine.budget.warn()
        if engine.control.pause != "now" and not engine.control.hint_now:
            engine.supervisor.look()
        await engine.waits.boundary()
        hints = [
            h
            for h in engine.state.hints.values()
            if h.state == "queued" and (end_of_turn or h.delivery != "end_of_turn")
        ]
        where = f"step {self._step}, {place}"
        for hint in hints:
            engine.record(ev.HintDelivered(hint=hint.id, where=where))
        engine.control.hint_now = False
        return [engine.state.hints[h.id] for h in hints]

    async def interruptible(self, work: Awaitable[T]) -> T:
        """Await `work`; cancels it and raises Interrupted on `pause now`, a hint now, or an end."""
        return await self._engine.control.race(work, self._engine.control.interrupts_step)

    async def compile(self, candidate: Candidate) -> EvaluationReport:
        """Compile only. Not an attempt. Raises Interrupted."""
        return await self._plain("compile", candidate)

    async def check(self, candidate: Candidate) -> EvaluationReport:
        """Compile and check only. Not an attempt. Raises Interrupted."""
        return await self._plain("check", candidate)

    async def _plain(
        self, what: Literal["compile", "check"], candidate: Candidate
    ) -> EvaluationReport:
        engine = self._engine
        engine.waits.raise_if_ended()
        call = engine.evaluator.compile if what == "compile" else engine.evaluator.check
        work = call(
            self.task.name, candidate, progress=lambda p: engine.measure.note_progress(0, p)
        )
        try:
            return await engine.measure.plain(work, engine.control.interrupts_step)
        except EvaluatorError as error:
            return engine.measure.cancelled(candidate.id, str(error), harness=True)

    async def evaluate(self, candidate: Candidate, title: str) -> AttemptResult:
        """The whole of f; an attempt. Answered from the record where the candidate is known."""
        engine = self._engine
        engine.waits.raise_if_ended()
        used_up = engine.budget.used_up()
        if used_up is not None:
            engine.budget.warn()
            raise StepEnded("nothing", used_up)
        while True:
            try:
                return await engine.measure.attempt(
                    candidate,
                    title=title,
                    parent=self._head.number,
                    cut=engine.control.interrupts_step,
                )
            except EvaluatorError as error:
                engine.trouble("evaluator", str(error))
                await self.pause_for(str(error))

    async def submit(
        self, attempt: AttemptResult, plan: str, summary: str, built_on: Sequence[Note] = ()
    ) -> SubmitResult:
        """Ask the gate, which measures again, interleaved with the reference."""
        engine = self._engine
        engine.waits.raise_if_ended()
        return await gate.submit(
            engine,
            attempt,
            parent=self._head.number,
            plan=plan,
            summary=summary,
            built_on=built_on,
            author=engine.operator.author,
            cut=engine.control.interrupts_step,
        )

    async def scratch(self, files: dict[str, str], arguments: Sequence[str] = ()) -> ScratchReport:
        """Compile and run a small program of the operator's in the sandbox."""
        engine = self._engine
        engine.waits.raise_if_ended()
        if arguments:
            return ScratchReport(ok=False, output="a scratch program takes no arguments")
        try:
            report = await self.interruptible(engine.evaluator.scratch(self.task.name, files))
        except EvaluatorError as error:
            return ScratchReport(ok=False, output=str(error))
        output = report.stdout
        if report.stderr:
            output += f"\n[standard error]\n{report.stderr}"
        if report.exit_code != 0:
            output += f"\n[{report.outcome}]"
        return ScratchReport(
            ok=report.compiled and report.exit_code == 0,
            exit_status=report.exit_code,
            output=output,
            compile_log=report.compiler_log,
            seconds=report.seconds,
        )

    async def profile(self, candidate: Candidate) -> str:
        """Profiler's report where the machine can; else one sentence that says why not."""
        profile = getattr(self._engine.evaluator, "profile", None)
        if profile is None:
            return "This machine's evaluator has no profiler; read the resources of a compilation."
        try:
            return str(await self.interruptible(profile(self.task.name, candidate)))
        except EvaluatorError as error:
            return str(error)

    async def park(self, seconds: float, reason: str) -> None:
        """Wait, visibly and persistently; the person may cut it short. Raises StepEnded."""
        await self._engine.waits.park(seconds, reason)
        await self._engine.waits.boundary()

    async def pause_for(self, reason: str) -> None:
        """Pause the run because the person must mend something; returns when it is resumed."""
        await self._engine.waits.pause_for(reason)
        self._engine.waits.raise_if_ended()

    def spent(self, spend: Spend) -> None:
        """Add to the spend of run and step."""
        self._engine.record(ev.Spent(spend=spend))

    def budget_left(self) -> str | None:
        """None while there is budget; else the sentence that says which cap is reached."""
        return self._engine.budget.used_up()

    # -- recording

    def record(self, event: ev.Event) -> None:
        """Append an event of this step to the journal."""
        self._engine.record(event)

    def keep(self, text: str | bytes) -> ObjectId:
        """Store a long text as an object."""
        return self._engine.writer.put(text)

    def fetch(self, identity: ObjectId) -> bytes:
        """An object by its hash. Raises KeyError."""
        return self._engine.writer.get(identity)

    def hint_effect(self, hint: str, effect: str) -> None:
        """Say what a delivered hint did, such as `TILE_K is pinned to 64`."""
        where = self._engine.state.hints[hint].where
        self._engine.record(ev.HintDelivered(hint=hint, where=where, effect=effect))

    def write_note(self, category: NoteCategory, text: str, replaces: Sequence[str] = ()) -> Note:
        """Add a note to the memory, in the place of others. Raises KeyError, ValueError."""
        notes = self._engine.state.memory
        replaced = {notes[identity].id for identity in replaces}
        held = memory.size(n for n in notes.values() if n.id not in replaced)
        if held + len(text) > self.memory_limit:
            raise ValueError(
                f"the memory would hold {held + len(text)} of {self.memory_limit} characters"
            )
        note = Note(
            id=memory.new_id(category, text, notes),
            category=category,
            text=text,
            step=self._step,
            at=now(),
            author=self._engine.operator.author,
        )
        self._engine.record(ev.NoteWritten(note=note))
        for identity in sorted(replaced):
            self.forget_note(identity)
        return note

    def forget_note(self, note: str) -> None:
        """Remove a note. Raises KeyError."""
        if note not in self._engine.state.memory:
            raise KeyError(note)
        self._engine.record(ev.NoteRemoved(note=note, author=self._engine.operator.author))
