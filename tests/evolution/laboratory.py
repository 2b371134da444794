"""An engine in the test's own event loop, over a real session folder and the fake evaluator."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.budget import Budget
from avo_tui.domain.commands import Command, CommandRecord
from avo_tui.domain.records import RunState, SessionRecord
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.state import SessionState
from avo_tui.evolution.clock import Clock
from avo_tui.evolution.engine import Engine
from avo_tui.evolution.run import EngineMode, Run
from avo_tui.operators.knowledge_port import KnowledgeHit
from avo_tui.operators.ports import Operator
from avo_tui.operators.tuner import make as make_tuner
from avo_tui.store import SessionReader, SessionWriter, send_command
from tests.evolution.fake_evaluator import TASK, FakeEvaluator

E = TypeVar("E", bound=ev.Event)


MakeLab = Callable[..., "Laboratory"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class NoKnowledge:
    """A K without documents."""

    def search(self, query: str, limit: int = 8) -> Sequence[KnowledgeHit]:
        return []

    def read(self, identifier: str, offset: int = 0, limit: int = 12_000) -> str:
        raise KeyError(identifier)

    def documents(self) -> Sequence[tuple[str, str]]:
        return []


class Laboratory:
    """One session; engines are started on it one after the other."""

    def __init__(
        self,
        folder: Path,
        settings: RunSettings | None = None,
        evaluator: FakeEvaluator | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings or RunSettings(budget=Budget())
        self.evaluator = evaluator or FakeEvaluator()
        self.events: list[ev.Event] = []
        self.task: asyncio.Task[RunState] | None = None
        self.engine: Engine | None = None
        self._ahead = 0.0
        if not folder.exists():
            SessionWriter.create(
                folder,
                SessionRecord(
                    name=folder.name,
                    task=TASK,
                    created=now(),
                    settings=self.settings,
                    budget=self.settings.budget,
                ),
            ).close()

    def start(self, operator: Operator | None = None, *, brief: bool = False) -> Engine:
        """Begin to run an engine."""
        self.writer = SessionWriter.open(self.folder)
        self.engine = Engine(
            self.writer,
            self.evaluator,
            operator or make_tuner(self.writer.state.session.settings),
            NoKnowledge(),
            listeners=[self.events.append],
            mode=EngineMode(only_inbox=brief),
        )
        self.run.clock = Clock(lambda: time.monotonic() + self._ahead)
        self.task = asyncio.create_task(self.engine.run())
        return self.engine

    def pass_time(self, seconds: float) -> None:
        """Lets running time pass by the engine's clock, at once."""
        self._ahead += seconds

    def hold_from(self, versions: int) -> None:
        """Evaluations that begin when the lineage has so many versions last until they are let go.

        To be said before the engine gets there: what is held is then an evaluation of a step.
        """
        self.evaluator.hold = lambda: len(self.state.versions) >= versions

    async def held(self) -> str:
        """Wait until an evaluation is held; returns its candidate."""
        await self.until(lambda: self.evaluator.held)
        assert self.evaluator.held is not None
        return self.evaluator.held

    async def ended(self, seconds: float = 120.0) -> RunState:
        """Wait for the engine to end by itself."""
        assert self.task is not None
        try:
            return await asyncio.wait_for(self.task, seconds)
        finally:
            self.writer.close()

    async def stop(self) -> RunState:
        """End the engine in good order."""
        assert self.engine is not None
        self.engine.stop("the test is over")
        return await self.ended()

    async def killed(self) -> None:
        """End the engine as SIGKILL would: nothing more is recorded."""
        assert self.engine is not None and self.task is not None

        def refuse(events: Sequence[ev.Event]) -> list[ev.Event]:
            raise Killed

        self.writer.record_all = refuse  # type: ignore[method-assign]
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.writer.close()

    async def fell(self, seconds: float = 120.0) -> None:
        """Wait until the engine has died of `Killed`."""
        assert self.task is not None
        await asyncio.wait({self.task}, timeout=seconds)
        assert isinstance(self.task.exception(), Killed)
        self.writer.close()

    @property
    def state(self) -> SessionState:
        """The engine's tables."""
        return self.run.state

    @property
    def run(self) -> Run:
        """What the parts of the engine share."""
        assert self.engine is not None
        return self.engine.run_context

    @property
    def has_ended(self) -> bool:
        """Whether the engine was started and its run is over."""
        return self.task is not None and self.task.done()

    async def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Wait for a condition; fails with the last events when it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.task is not None and self.task.done() and not condition():
                self.task.result()
                raise AssertionError(f"the engine ended before; {self._last()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not come; {self._last()}")
            await asyncio.sleep(0.004)

    def _last(self) -> str:
        return "; ".join(f"{e.step}:{e.kind}" for e in self.events[-12:])

    async def send(self, command: Command, seconds: float = 120.0) -> CommandRecord:
        """Send a command through the inbox and wait for its answer."""
        identity = send_command(self.folder, command)
        await self.until(lambda: identity in self.state.commands, seconds)
        return self.state.commands[identity]

    async def in_state(self, state: RunState) -> None:
        """Wait for a state of the run."""
        await self.until(lambda: self.state.session.state == state)

    def of(self, kind: type[E]) -> list[E]:
        """Events of a kind so far."""
        return [e for e in self.events if isinstance(e, kind)]

    async def versions(self, count: int) -> None:
        """Wait until the lineage has so many versions."""
        await self.until(lambda: len(self.state.versions) >= count)

    def check_whole(self) -> SessionState:
        """What a reader sees is what the engine held; numbers run without gaps."""
        reader = SessionReader.open(self.folder)
        events = list(reader.events())
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        candidates = [v.candidate for v in reader.state.versions.values()]
        assert len(set(candidates)) == len(candidates), "a candidate was committed twice"
        assert sorted(reader.state.versions) == list(range(len(reader.state.versions)))
        return reader.state
