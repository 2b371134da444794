"""The parts of a command's implementation: handler, summary and undo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from avo_tui.domain import commands as cmd
from avo_tui.domain.commands import Command
from avo_tui.domain.events import CommandTaken, Event
from avo_tui.domain.records import Version
from avo_tui.domain.state import SessionState
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.admission.gate import AcceptanceGate
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.evolution.watch.supervisor import Supervisor

SUMMARY_CHARACTERS = 100

C = TypeVar("C", bound=cmd.CommandBase)


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """A command cannot be carried out; the message says why."""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class CommandAnswer:
    """The result of handling a command."""

    effect: str
    """What was done, in one sentence for the person."""
    events: Sequence[Event] = ()
    """The events that make the change; recorded in one transaction with the answer, so that an
    engine that is killed never leaves one without the other."""
    then: Callable[[], None] = _nothing
    """Called after the answer is recorded, to notify the running parts of the engine."""


@dataclass(frozen=True)
class Desk:
    """The parts of the engine that commands use."""

    run: Run
    supervisor: Supervisor
    evaluations: EvaluationRecorder
    gate: AcceptanceGate
    budget: BudgetWatch

    def version(self, number: int) -> Version:
        """The version with this number. Raises Refused if there is none."""
        versions = self.run.state.versions
        if number not in versions:
            last = max(versions, default=None)
            known = f"the versions are v0 to v{last}" if last is not None else "there is none yet"
            raise Refused(f"v{number} is not in the lineage; {known}")
        return versions[number]

    def require_running(self) -> None:
        """Raises Refused if this engine does not make steps."""
        if self.run.mode.only_inbox:
            name = self.run.before.name
            raise Refused(f"no run is going on; start it with: avo run --resume {name}")


Job = Callable[[Desk, C, Callable[[str], CommandTaken]], Awaitable[None]]
"""Work for a command that needs the evaluator. The third argument makes the answer event from a
sentence about the effect; the job records that event in the transaction of its own last event.
Raises Interrupted when the engine stops, and Refused or EvaluatorError if the work fails; the
command is then answered as refused."""


@dataclass(frozen=True)
class CommandSpec(Generic[C]):
    """How one kind of command is carried out."""

    kind: type[C]
    handle: Callable[[Desk, C], CommandAnswer | None]
    """Returns the answer without changing anything itself; None means that `job` is queued. Raises
    Refused."""
    summary: Callable[[C], str] = lambda command: command.kind.replace("_", " ")  # type: ignore[attr-defined]
    """Describes the command in a few words, for lists."""
    undo: Callable[[SessionState, C], Command | None] = lambda state, command: None
    """The command that undoes this one, given the state before it; None if it cannot be undone."""
    job: Job[C] | None = None


AnySpec = CommandSpec[Any]


def short(text: str) -> str:
    """The text on one line, shortened if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= SUMMARY_CHARACTERS else line[: SUMMARY_CHARACTERS - 1] + "…"
