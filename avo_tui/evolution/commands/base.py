"""What a command of the person is made of: a handler, a summary, and what takes it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from avo_tui.domain import commands as cmd
from avo_tui.domain.commands import Command
from avo_tui.domain.events import CommandTaken, Event
from avo_tui.domain.records import Version
from avo_tui.domain.state import SessionState
from avo_tui.evolution.ports import Evaluations, Gate, Supervising
from avo_tui.evolution.run import Run

SUMMARY_CHARACTERS = 100

C = TypeVar("C", bound=cmd.CommandBase)


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """A command cannot be carried out; the text says why."""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class CommandAnswer:
    """What comes of a command."""

    effect: str
    """What was done, in one sentence for the person."""
    events: Sequence[Event] = ()
    """The change; recorded in one transaction with the answer, so that neither is without the
    other after a kill."""
    then: Callable[[], None] = _nothing
    """Called once that is on record: tells the running parts, by the run's control."""


@dataclass(frozen=True)
class Desk:
    """The parts of the engine that commands use."""

    run: Run
    supervisor: Supervising
    evaluations: Evaluations
    gate: Gate

    def version(self, number: int) -> Version:
        """A version of the lineage. Raises Refused for one that is not there."""
        versions = self.run.state.versions
        if number not in versions:
            last = max(versions, default=None)
            known = f"the versions are v0 to v{last}" if last is not None else "there is none yet"
            raise Refused(f"v{number} is not in the lineage; {known}")
        return versions[number]

    def require_running(self) -> None:
        """Raises Refused where this engine makes no steps."""
        if self.run.mode.only_inbox:
            name = self.run.before.name
            raise Refused(f"no run is going on; start it with: avo run --resume {name}")


Job = Callable[[Desk, C, Callable[[str], CommandTaken]], Awaitable[None]]
"""Work that needs the evaluator. The third argument makes the answer from its effect; the job
records it in one transaction with its own last event. Raises Interrupted when the engine stops,
Refused and EvaluatorError where it cannot be done; the command is then answered as refused."""


@dataclass(frozen=True)
class CommandSpec(Generic[C]):
    """One command of the person."""

    kind: type[C]
    handle: Callable[[Desk, C], CommandAnswer | None]
    """Decides what comes of the command and changes nothing itself; None queues its `job`.
    Raises Refused."""
    summary: Callable[[C], str] = lambda command: command.kind.replace("_", " ")  # type: ignore[attr-defined]
    """The command in a few words, for lists."""
    undo: Callable[[SessionState, C], Command | None] = lambda state, command: None
    """The command that would take this one back, from the state before it; None for none."""
    job: Job[C] | None = None


AnySpec = CommandSpec[Any]


def short(text: str) -> str:
    """The text in one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= SUMMARY_CHARACTERS else line[: SUMMARY_CHARACTERS - 1] + "…"
