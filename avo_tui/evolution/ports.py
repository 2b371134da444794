"""What one part of the engine may ask of another. `engine.py` hands the parts to each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import Event
from avo_tui.domain.records import Attempt, Author, Direction, Intervention, Level, Note
from avo_tui.domain.verdict import EvaluationProgress, EvaluationReport
from avo_tui.operators.ports import AttemptResult, SubmitResult

Cut = Callable[[], str | None]
"""Says why work must be cut off now; None while it may go on."""

Along = Callable[[SubmitResult], Sequence[Event]]
"""Events that belong into the same transaction as the gate's last word."""


@dataclass(frozen=True)
class Proposal:
    """What a version says about itself, should the attempt become one."""

    parent: int
    """Number of the version that it was made from."""
    plan: str
    summary: str
    author: Author
    built_on: Sequence[Note] = ()
    """Notes of the memory that were in front of its author."""


class Evaluations(Protocol):
    """Runs the evaluator and keeps the attempts on record."""

    def known(self, identity: str) -> Attempt | None:
        """The first attempt at this candidate that was judged."""
        ...

    async def attempt(
        self, candidate: Candidate, *, title: str, parent: int, cut: Cut, fresh: bool = False
    ) -> AttemptResult:
        """The whole of f for one candidate, as the next attempt of the open step.

        Raises Interrupted (the attempt is then on record as cancelled) and EvaluatorError.
        """
        ...

    async def unrecorded(self, work: Awaitable[EvaluationReport], cut: Cut) -> EvaluationReport:
        """Work of the evaluator that is no attempt. Raises Interrupted and EvaluatorError."""
        ...

    def progress(self, attempt: int) -> Callable[[EvaluationProgress], None]:
        """Where signs of life of an attempt go; 0 where it is no attempt."""
        ...


class Gate(Protocol):
    """Decides whether an attempt becomes a version."""

    async def submit(
        self,
        attempt: AttemptResult,
        proposal: Proposal,
        *,
        cut: Cut,
        along: Along | None = None,
    ) -> SubmitResult:
        """Asks about an attempt, and commits what passes; `along` joins the last record.

        Raises Interrupted; the attempt can then be submitted again.
        """
        ...


class Budgeting(Protocol):
    """The caps against the spend, running time included."""

    def spend(self) -> tuple[Spend, Spend]:
        """Spend of the run and of the open step, to this moment."""
        ...

    def used_up(self) -> str | None:
        """The sentence about a cap of the run or the step that is reached."""
        ...

    def run_used_up(self) -> str | None:
        """The sentence about a cap of the whole run that is reached."""
        ...

    def warn(self) -> None:
        """Warns once at `SOFT_WARNING` of each cap of the run, and once when any cap is reached."""
        ...


class Supervising(Protocol):
    """Notices a stall and redirects what makes the steps."""

    def look(self) -> None:
        """Intervenes where a limit is crossed. Ends the step where the rung says so."""
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
    """Stands still where the person, a limit of rate or a full disk asks for it."""

    async def rest(self) -> None:
        """Between two steps. Returns when the next may begin; raises Finish when none will."""
        ...

    async def boundary(self) -> None:
        """Inside a step: stands still while paused. Raises StepEnded."""
        ...

    def raise_if_ended(self) -> None:
        """Raises StepEnded where the step is to end."""
        ...

    async def pause_for(self, reason: str) -> None:
        """Pauses because the person must mend something; returns when resumed or ended."""
        ...

    async def park(self, seconds: float, reason: str) -> None:
        """Waits visibly; `resume` cuts it short, a pause or an end takes its place."""
        ...


@dataclass(frozen=True)
class Parts:
    """The parts of one engine, as the workbench uses them."""

    evaluations: Evaluations
    gate: Gate
    waits: Waiting
    budget: Budgeting
    supervisor: Supervising


class Inbox(Protocol):
    """Takes the person's commands."""

    def take_all(self) -> None:
        """Carries out what lies in the inbox; what needs the evaluator is queued."""
        ...

    async def do_jobs(self) -> None:
        """Does what is queued, one after the other, until the engine is asked to stop."""
        ...
