"""What a variation operator may see and do. The engine implements these ports.

Every awaited call is a boundary: there the person's pause, hint, abort, rewind and budget take
effect. A call that must not be cut off by the person is not awaited through the workbench.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

from avo_tui.domain.acceptance import GateDecision
from avo_tui.domain.base import ObjectId, Value
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import Event
from avo_tui.domain.records import (
    Attempt,
    Author,
    Direction,
    Hint,
    Intervention,
    Note,
    NoteCategory,
    Profile,
    RunSettings,
    StepOutcomeName,
    Version,
)
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import EvaluationReport, MachineInfo, ScratchReport, Window

T = TypeVar("T")


class StepOutcome(Value):
    """How a step ended, as its operator sees it."""

    outcome: StepOutcomeName
    reason: str = ""


class StepEnded(Exception):  # noqa: N818 - control flow, not an error
    """The person, the budget or the supervisor ends the step; the operator lets it pass through.

    Raised by the workbench at a boundary. `outcome` is aborted, rewound, stopped or nothing.
    """

    def __init__(self, outcome: StepOutcomeName, reason: str) -> None:
        super().__init__(reason)
        self.outcome: StepOutcomeName = outcome
        self.reason = reason


class Interrupted(Exception):  # noqa: N818 - control flow, not an error
    """What was awaited was cancelled, by `pause now` or a hint `now`.

    The operator records the state it leaves behind, then calls `boundary()`, which waits for the
    resumption and hands over the hints.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AttemptResult(Value):
    """An evaluated candidate, with the place of its record."""

    step: int
    number: int
    candidate: ObjectId
    report: EvaluationReport


class SubmitResult(Value):
    """The gate's word on an attempt."""

    decision: GateDecision | None
    """None where the candidate did not get as far as the gate."""
    version: Version | None = None
    reason: str = ""


CARRIED = "Went on from the draft"
"""How the title of the edit begins with which a step takes over the draft of the step before."""


class Draft(Value):
    """A candidate that a step left uncommitted."""

    candidate: ObjectId
    step: int
    """The step that left it."""
    carried: int = 0
    """Steps in a row, up to that one, that went on from the draft of the step before."""


class KnowledgeHit(Value):
    """A section of K that answers a query."""

    id: str
    document: str
    section: str
    snippet: str
    score: float


class Knowledge(Protocol):
    """K, as an operator sees it."""

    def search(self, query: str, limit: int = 8) -> Sequence[KnowledgeHit]:
        """Sections that answer the query, best first. Never raises for odd queries."""
        ...

    def read(self, identifier: str, offset: int = 0, limit: int = 12_000) -> str:
        """Text of a document or section. Raises KeyError for one that is not there."""
        ...

    def documents(self) -> Sequence[tuple[str, str]]:
        """(identifier, title) of every document."""
        ...


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
        """What candidates are measured on; None before the evaluator was asked."""
        ...

    def draft(self) -> Draft | None:
        """The candidate that the step before left uncommitted, if it started at this head."""
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

    def gate_outlook(self) -> str: ...

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
        """The first finished attempt at this very candidate, if there was one."""
        ...

    def step_events(self) -> Sequence[Event]:
        """What was recorded in this step so far; not empty when it was interrupted and goes on."""
        ...

    def rewind_reason(self) -> str | None:
        """Why the person rewound to the head, if that is how this step came to start."""
        ...

    def directions(self) -> Sequence[Direction]:
        """Directions of the supervisor or the person that are in force."""
        ...

    def interventions(self) -> Sequence[Intervention]:
        """Interventions that are active."""
        ...

    def notes(self) -> Sequence[Note]:
        """The memory."""
        ...

    @property
    def memory_limit(self) -> int:
        """Characters that the memory may hold."""
        ...

    def hints_in_force(self) -> Sequence[Hint]:
        """Hints delivered earlier whose scope still holds."""
        ...

    def hint(self, hint: str) -> Hint:
        """A hint by its id, whatever became of it. Raises KeyError."""
        ...

    def remaining(self) -> tuple[Budget, Spend, Spend]:
        """(caps, spend of the run, spend of this step)."""
        ...

    def fetch(self, identity: ObjectId) -> bytes:
        """An object by its hash. Raises KeyError."""
        ...


class Evaluating(Protocol):
    """f and the gate. Every call is a boundary; all may raise Interrupted and StepEnded."""

    async def compile(self, candidate: Candidate) -> EvaluationReport:
        """Compile only. Not an attempt. Raises Interrupted."""
        ...

    async def check(self, candidate: Candidate) -> EvaluationReport:
        """Compile and check only. Not an attempt. Raises Interrupted."""
        ...

    async def evaluate(self, candidate: Candidate, title: str) -> AttemptResult:
        """The whole of f; an attempt. Answered from the record where the candidate is known.

        Raises Interrupted, and StepEnded when the budget is used up.
        """
        ...

    @property
    def width(self) -> int:
        """How many candidates are evaluated at once now: the devices of the run, at least 1."""
        ...

    async def evaluate_many(
        self, candidates: Iterable[tuple[Candidate, str]]
    ) -> Sequence[AttemptResult]:
        """The whole of f for each (candidate, title), as many at once as there are devices.

        The next one is taken when a device is free; what is on record by then may decide which it
        is. No more are taken once the person wants something or a cap is near. Returns the results
        of those that were evaluated, in the order in which they were given.
        Raises Interrupted, and StepEnded when the budget is used up.
        """
        ...

    async def submit(
        self, attempt: AttemptResult, plan: str, summary: str, built_on: Sequence[Note] = ()
    ) -> SubmitResult:
        """Ask the gate: measures again, interleaved with the reference; commits if it passes.

        `built_on` are the notes that the version owes something to.
        """
        ...

    async def compare(
        self, candidate: Candidate, other: Candidate, replicate: int = 0
    ) -> EvaluationReport:
        """Time two candidates in turn, each in one fresh process, as the gate does. Not an attempt.

        The report is of `candidate`; `paired` is its speed over the other's. Raises Interrupted.
        """
        ...

    async def scratch(self, files: dict[str, str]) -> ScratchReport:
        """Compile and run a small program of the operator's in the sandbox."""
        ...

    async def profile(self, candidate: Candidate, configuration: str | None = None) -> str:
        """The profiler's figures on a configuration (the first scored one without), recorded.

        One sentence that says why not, where the machine has no profiler.
        """
        ...

    async def disassemble(
        self, candidate: Candidate, function: str | None = None, window: Window | None = None
    ) -> str:
        """Lines of a function's machine code: the longest one's hottest loop, if not told else."""
        ...


class Recording(Protocol):
    """What a step may write: its events, long texts, spend, and the notes of the memory."""

    def record(self, event: Event) -> None:
        """Append an event of this step to the journal."""
        ...

    def keep(self, text: str | bytes) -> ObjectId:
        """Store a long text as an object."""
        ...

    def spent(self, spend: Spend) -> None:
        """Add to the spend of run and step."""
        ...

    def hint_effect(self, hint: str, effect: str) -> None:
        """Say what a delivered hint did, such as `TILE_K is pinned to 64`."""
        ...

    def write_note(self, category: NoteCategory, text: str, replaces: Sequence[str] = ()) -> Note:
        """Add a note to the memory, in the place of those with the ids of `replaces`.

        It is written before they are removed, so that nothing is lost in between. Raises KeyError
        for one that is not there, ValueError when the memory would hold more than its limit.
        """
        ...

    def forget_note(self, note: str) -> None:
        """Remove a note. Raises KeyError."""
        ...


class Control(Protocol):
    """Where the pauses, hints, waits and caps of the person reach a step."""

    async def boundary(self, place: str, *, end_of_turn: bool = False) -> Sequence[Hint]:
        """A point between two tools: waits while paused, and returns the hints to deliver now.

        `place` names it for the person, such as `before tool 7`. Raises StepEnded.
        """

    async def standby(self, arrival: asyncio.Event, absent: Callable[[], str]) -> None:
        """Wait until `arrival` is set from outside; honours pauses, and does the person's jobs.

        `absent` says why nobody can be expected to act, "" where somebody can: such time does not
        count as running, and the session's state gives the reason. Raises StepEnded.
        """

    def pause_wanted(self) -> Literal["", "now", "later"]:
        """Whether the person has paused the run, or asked to: `now` cuts off what runs, `later`
        waits for the next boundary; "" while it goes on."""

    def take_hints(self, place: str) -> Sequence[Hint]:
        """The hints that are queued, whatever their delivery, without waiting; now delivered."""

    async def interruptible(self, work: Awaitable[T]) -> T:
        """Await `work`; cancels it and raises Interrupted on `pause now`, a hint `now`, an end."""

    async def park(self, seconds: float, reason: str) -> None:
        """Wait, visibly and persistently; the person may cut it short. Raises StepEnded."""

    async def pause_for(self, reason: str) -> None:
        """Pause the run because the person must mend something; returns when it is resumed."""

    def budget_left(self) -> str | None:
        """None while there is budget; else the sentence that says which cap is reached."""


class Workbench(Protocol):
    """One step's place of work, by what a caller does there. Ask for the narrowest part."""

    @property
    def reading(self) -> Reading: ...
    @property
    def evaluating(self) -> Evaluating: ...
    @property
    def recording(self) -> Recording: ...
    @property
    def control(self) -> Control: ...
    @property
    def knowledge(self) -> Knowledge: ...


class Operator(Protocol):
    """A variation operator."""

    author: Author

    async def vary(self, bench: Workbench) -> StepOutcome:
        """One variation step. May raise StepEnded; anything else it raises is trouble, recorded."""
        ...


@runtime_checkable
class Closing(Protocol):
    """An operator that holds something open between steps."""

    async def close(self) -> None:
        """Let it go: the engine ends. Must not raise."""
        ...
