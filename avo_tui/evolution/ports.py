"""Interfaces between the parts of the engine. `engine.py` connects the parts to each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import Event
from avo_tui.domain.records import Attempt, Author, Direction, Intervention, Note
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.run_settings import Level
from avo_tui.operators.ports import AttemptResult, SubmitResult

T = TypeVar("T")

Cut = Callable[[], str | None]
"""Returns why the current work must be cancelled now; None while it may continue."""

Along = Callable[[SubmitResult], Sequence[Event]]
"""Events to record in the same transaction as the gate's decision."""


@dataclass(frozen=True)
class Proposal:
    """Data to store with the version, if the attempt becomes one."""

    parent: int
    """Number of the version that the candidate was derived from."""
    plan: str
    """Of the step."""
    summary: str
    author: Author
    built_on: Sequence[Note] = ()
    """Notes of the memory that were in front of its author."""
    origin: str = ""
    """`SESSION:VERSION` that it was carried over from; empty if it was made in this session."""
    idea: str = ""
    """What this candidate changes and why, in one line; empty where the plan says it."""


class Evaluations(Protocol):
    """Calls the evaluator and records the attempts."""

    def known(self, identity: str) -> Attempt | None:
        """The first attempt with this candidate that received a verdict; None if there is none."""
        ...

    async def attempt(
        self, candidate: Candidate, *, title: str, parent: int, cut: Cut, fresh: bool = False,
        sweep: int = 0,
    ) -> AttemptResult:  # fmt: skip
        """Evaluate a candidate completely, as the next attempt of the open step.

        Raises Interrupted (the attempt is then recorded as cancelled) and EvaluatorError.
        """
        ...

    async def unrecorded(self, work: Awaitable[EvaluationReport], cut: Cut) -> EvaluationReport:
        """Run evaluator work that is not recorded as an attempt. Raises Interrupted and
        EvaluatorError."""
        ...

    async def clocked(self, work: Awaitable[T], cut: Cut) -> T:
        """Await work of the evaluator; while it waits for the device, running time does not count.

        Raises Interrupted.
        """
        ...

    def listening(self, sink: Callable[[EvaluationProgress], None]) -> AbstractContextManager[None]:
        """While entered, `sink` is told the progress of all evaluations."""
        ...

    def progress(self, attempt: int) -> Callable[[EvaluationProgress], None]:
        """A callback for the progress of an attempt; `attempt` is 0 for work that is not an
        attempt."""
        ...


class Gate(Protocol):
    """Decides whether an attempt becomes a version."""

    def foresee(self, candidate: str) -> None:
        """A candidate is about to be evaluated: an evaluator that is far away is told what the gate
        will ask of it then."""
        ...

    async def submit(
        self,
        attempt: AttemptResult,
        proposal: Proposal,
        *,
        cut: Cut,
        along: Along | None = None,
    ) -> SubmitResult:
        """Judge an attempt, and commit it if the gate accepts it.

        `along` gives further events for the same transaction as the decision. Raises Interrupted;
        the attempt can then be submitted again.
        """
        ...


class Budgeting(Protocol):
    """Compares the caps with the spend, including running time."""

    def spend(self) -> tuple[Spend, Spend]:
        """(spend of the run, spend of the open step) up to now."""
        ...

    def used_up(self) -> str | None:
        """A sentence about the cap of the run or the step that is reached; None if none is."""
        ...

    def run_used_up(self) -> str | None:
        """A sentence about the cap of the whole run that is reached; None if none is."""
        ...

    def warn(self) -> None:
        """Warn once per cap of the run at `SOFT_WARNING`, and once more when it is used up."""
        ...


class Supervising(Protocol):
    """Detects a stall and redirects the variation operator."""

    def look(self) -> None:
        """Intervene if a limit is exceeded. Ends the step if the kind of intervention requires
        it."""
        ...

    def intervention(
        self,
        level: Level,
        trigger: str,
        *,
        by: Literal["supervisor", "person"] = "supervisor",
        directions: tuple[Direction, ...] = (),
    ) -> Intervention:
        """An intervention with its diagnosis, not recorded yet."""
        ...


class Waiting(Protocol):
    """Waits when the person, a rate limit or a full disk requires it."""

    async def rest(self) -> None:
        """Wait between two steps. Returns when the next may begin; raises Finish if the run is to
        end."""
        ...

    async def boundary(self) -> None:
        """A boundary inside a step: waits while the run is paused. Raises StepEnded."""
        ...

    def raise_if_ended(self) -> None:
        """Raises StepEnded if a request to end the step is pending."""
        ...

    async def pause_for(self, reason: str) -> None:
        """Pause because of a problem that the person must fix; returns when resumed or ended."""
        ...

    async def park(self, seconds: float, reason: str) -> None:
        """Park the run for `seconds`; `resume` ends the wait early, and so does a pause or an
        end."""
        ...


class Pacing(Protocol):
    """Slows down what changes nothing and takes no time."""

    async def call(self, worked: bool) -> None:
        """Let other tasks run after a call of the operator; slow down calls without work."""
        ...


@dataclass(frozen=True)
class Parts:
    """The parts of one engine that the workbench uses."""

    evaluations: Evaluations
    gate: Gate
    waits: Waiting
    budget: Budgeting
    supervisor: Supervising
    idling: Pacing


class Inbox(Protocol):
    """Takes the person's commands."""

    async def take_all(self) -> None:
        """Carry out the commands in the inbox; those that need the evaluator are queued."""
        ...

    async def do_jobs(self) -> None:
        """Carry out the queued commands one after the other, until the engine is asked to stop."""
        ...
