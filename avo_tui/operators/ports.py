"""The interface between variation operators and the engine, which implements it.

Every awaited call is a boundary at which the person's pause, hint, abort, rewind and budget take
effect. Work that the person must not interrupt is not awaited through the workbench.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from avo_tui.domain.base import ObjectId, Value
from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import Event
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.questions import Answer, Question
from avo_tui.domain.records import Author, Hint, Note, NoteCategory, StepOutcomeName, Version
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.operators.knowledge_port import Knowledge
from avo_tui.operators.reading import Reading

T = TypeVar("T")


class StepOutcome(Value):
    """How a step ended, as its operator sees it."""

    outcome: StepOutcomeName
    reason: str = ""


class StepEnded(Exception):  # noqa: N818 - control flow, not an error
    """The person, the budget or the supervisor ends the step; operators must not catch this.

    Raised by the workbench at a boundary. `outcome` is aborted, rewound, stopped or nothing.
    """

    def __init__(self, outcome: StepOutcomeName, reason: str) -> None:
        super().__init__(reason)
        self.outcome: StepOutcomeName = outcome
        self.reason = reason
        self.brought = ""
        """What the tool that ran had brought until then."""


class Interrupted(Exception):  # noqa: N818 - control flow, not an error
    """The awaited work was cancelled by `pause now` or an urgent hint.

    The operator records the state it leaves behind, then calls `boundary()`, which waits until the
    run is resumed and returns the hints.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.brought = ""
        """What the tool that ran had brought until then."""


class AttemptResult(Value):
    """An evaluated candidate, with the number of its attempt."""

    step: int
    number: int
    candidate: ObjectId
    report: EvaluationReport


class SubmitResult(Value):
    """The gate's answer to an attempt."""

    decision: GateDecision | None
    """None if the candidate did not get as far as the gate."""
    version: Version | None = None
    reason: str = ""


class Evaluating(Protocol):
    """Evaluation of candidates and submission to the gate.

    Every call is a boundary; all may raise Interrupted and StepEnded.
    """

    def listening(self, sink: Callable[[EvaluationProgress], None]) -> AbstractContextManager[None]:
        """While entered, `sink` is told how everything that the run evaluates gets on, and what it
        waits for."""
        ...

    async def evaluate(self, candidate: Candidate, title: str) -> AttemptResult:
        """Evaluate a candidate completely, as an attempt; a known one gets its recorded result.

        Raises Interrupted, and StepEnded when the budget is used up.
        """
        ...

    @property
    def width(self) -> int:
        """How many candidates can be evaluated at the same time: the number of devices, at least
        1."""
        ...

    async def evaluate_many(
        self,
        candidates: Iterable[tuple[Candidate, str]],
        *,
        sweep: bool = False,
        each: Callable[[AttemptResult], None] = lambda result: None,
    ) -> Sequence[AttemptResult]:
        """Evaluate (candidate, title) pairs completely, as many at the same time as there are
        devices.

        The next pair is taken when a device is free, so the source may choose it by the results
        recorded until then. `sweep`: they are variants of one idea, and one try to the supervisor.
        No more are taken once the person requests something or a cap is near. `each` is given every
        result as soon as it is there, also those before an interruption.
        Returns the results of those that were evaluated, in the order in which they were taken.
        Raises Interrupted, and StepEnded when the budget is used up.
        """
        ...

    async def submit(
        self,
        attempt: AttemptResult,
        plan: str,
        summary: str,
        built_on: Sequence[Note] = (),
        *,
        idea: str = "",
    ) -> SubmitResult:
        """Submit an attempt to the gate, which times it alternately with the version to beat.

        It is committed if the gate accepts it. `plan` is the step's; `idea` says in one line what
        this candidate changes, where that is another thing. `built_on` are the notes that led to
        this version.
        """
        ...

    async def ask(self, question: Question[Answer]) -> Answer:
        """Ask the evaluator something about a candidate; a profile is also recorded.

        Not an attempt, and not what a gate decides on; a failed evaluator is in the answer. Raises
        Interrupted.
        """
        ...


class Recording(Protocol):
    """What a step may write: events, long texts, spend, and notes of the memory."""

    def record(self, event: Event) -> None:
        """Append an event of this step to the journal."""
        ...

    def keep(self, text: str | bytes) -> ObjectId:
        """Store a long text as an object."""
        ...

    def spent(self, spend: Spend) -> None:
        """Add to the spend of the run and the step."""
        ...

    def hint_effect(self, hint: str, effect: str) -> None:
        """Record what a delivered hint changed, such as `TILE_K is pinned to 64`."""
        ...

    def write_note(self, category: NoteCategory, text: str, replaces: Sequence[str] = ()) -> Note:
        """Add a note to the memory; it replaces the notes whose ids are in `replaces`.

        The note is written before the others are removed, so that nothing is lost if the engine is
        killed in between. Raises KeyError for an unknown id, ValueError if the memory would exceed
        its limit.
        """
        ...

    def forget_note(self, note: str) -> None:
        """Remove a note. Raises KeyError."""
        ...


class Presence(NamedTuple):
    """Whether the one who makes the steps is there."""

    absent: str = ""
    """Why nobody is there; "" if somebody is."""
    certain: bool = True
    """False where the one who was there may have gone without a word."""


class Control(Protocol):
    """How the person's pauses, hints, waits and caps reach a step."""

    async def boundary(self, place: str, *, end_of_turn: bool = False) -> Sequence[Hint]:
        """A point between two tools: waits while paused, then returns the hints to deliver now.

        `place` describes the point for the person, such as `before tool 7`. Raises StepEnded.
        """

    async def standby(self, arrival: asyncio.Event, presence: Callable[[], Presence]) -> None:
        """Wait until `arrival` is set; obeys pauses and carries out commands meanwhile.

        While `presence` says that nobody is there, running time does not count, and the session's
        state shows the reason. Time in which that is uncertain counts once `arrival` is set, and
        not if it turns out that nobody was there. Raises StepEnded.
        """

    def pause_wanted(self) -> Literal["", "now", "later"]:
        """Whether the person requested a pause: `now` cancels the current work, `later` waits for
        the next boundary, "" means no pause."""

    def take_hints(self, place: str) -> Sequence[Hint]:
        """Deliver all queued hints at once, whatever delivery they ask for; returns them."""

    async def interruptible(self, work: Awaitable[T]) -> T:
        """Await `work`, but cancel it and raise Interrupted on `pause now`, an urgent hint or an
        end."""

    async def park(self, seconds: float, reason: str) -> None:
        """Park the run visibly for `seconds`; the person may end the wait early. Raises
        StepEnded."""

    async def pause_for(self, reason: str) -> None:
        """Pause the run because of a problem that the person must fix; returns when it is
        resumed."""

    def budget_left(self) -> str | None:
        """None while there is budget; otherwise a sentence about the cap that is reached."""


class Workbench(Protocol):
    """Everything a step can do, in four parts. A function should ask for the narrowest part it
    needs."""

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
        """Make one variation step. May raise StepEnded; any other exception is recorded as a
        problem."""
        ...


@runtime_checkable
class OfModel(Protocol):
    """An operator whose candidates a model makes."""

    @property
    def model_name(self) -> str: ...


@runtime_checkable
class Closing(Protocol):
    """An operator that holds resources between steps."""

    async def close(self) -> None:
        """Release the resources, because the engine ends. Must not raise."""
        ...
