"""The operator `acp`: keeps an agent working in the seat, turn after turn, step after step.

The agent uses the tools of the seat (`avo mcp`), so a step is a step of the seat. This operator
also starts the agent, prompts it to continue, stops it while the run is paused, and displays its
reports.
"""

from __future__ import annotations

import asyncio

from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.operators.seat.door import Door
from avo_tui.operators.seat.step import SeatStep, tool_specs
from avo_tui_acp.agent import AgentProblemError, AgentProcess
from avo_tui_acp.client import AcpClient
from avo_tui_acp.panes import Panes
from avo_tui_acp.settings import AcpSettings, Permissions

LOOK_SECONDS = 0.5
"""Seconds between two checks whether the run is paused, while the agent works."""

IDLE_SECONDS = 5.0
"""Seconds to wait after a turn without a tool of the seat, doubled with each such turn in a row:
some agents open a session before they have connected to the seat's MCP server."""

CANCEL_SECONDS = 60.0
"""Seconds to wait for a cancelled turn to end before the agent's process is ended."""

FIRST = (
    "You sit in the seat of a supervised evolution of a compute kernel. The MCP server `avo` gives"
    " you the tools of the seat. Call begin_step: it tells the task and how things stand. The"
    " resource avo:///brief says how to work here. Then make step after step, without asking back,"
    " until an answer says that the run has ended."
)
GO_ON = (
    "The run goes on, and nobody answers questions. Call begin_step and make the next step with the"
    " tools of the server `avo`; go on until an answer says that the run has ended."
)
RESUMED = "The run was paused and has been resumed. Call begin_step to see how things stand; go on."


class AcpOperator:
    """Keeps one agent process, from the first step until the engine ends."""

    author: Author = "seat"

    def __init__(self, settings: RunSettings) -> None:
        """Raises ValueError, with one sentence, if the settings name no agent."""
        own = AcpSettings.of(settings)
        name = own.command()[0].rpartition("/")[2]
        self.door = Door(
            tool_specs(settings), empty=f"{name} has not called a tool of the seat yet"
        )
        self._panes = Panes(name)
        self._settings = own
        self._bench: Workbench | None = None
        self._agent: AgentProcess | None = None
        self._driver: asyncio.Task[None] | None = None
        self._trouble = ""
        """Why the run must be paused; the next call of `_attend` pauses it."""
        self._asking = False
        """True while the run is paused because the agent asked a question."""
        self._questions: list[tuple[str, asyncio.Future[bool]]] = []

    async def vary(self, bench: Workbench) -> StepOutcome:
        self._bench = bench
        self._settings = AcpSettings.of(bench.reading.settings)
        self._panes.open(bench)
        await self.door.open(bench.reading.folder)
        try:
            return await SeatStep(bench, self.door, self._attend).run()
        finally:
            self._panes.close()
            self._bench = None

    async def close(self) -> None:
        await self.door.close("The run has ended: there is no other step. avo status says why.")
        await self._end_agent()

    async def _end_agent(self) -> None:
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.gather(self._driver, return_exceptions=True)
            self._driver = None
        if self._agent is not None:
            agent, self._agent = self._agent, None
            await agent.close()

    # -- questions and problems for the person, handled within the step

    async def _attend(self) -> None:
        """Let the person answer questions and fix problems, and restart the agent if it has
        ended."""
        assert self._bench is not None
        while self._questions:
            question, answer = self._questions.pop(0)
            self._asking = True
            allowed = False
            try:
                await self._bench.control.pause_for(
                    f"{self._panes.name} asks to use a tool of its own: {question}; resume to allow"
                    " it once, or set acp.permissions=seat first to refuse it"
                )
                allowed = self._rule() != "seat"
            finally:
                self._asking = False
                if not answer.done():
                    answer.set_result(allowed)
        if self._trouble:
            trouble, self._trouble = self._trouble, ""
            await self._end_agent()
            await self._bench.control.pause_for(f"{trouble}; resume starts the agent again")
            self._settings = AcpSettings.of(self._bench.reading.settings)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive(), name="acp")

    async def _ask(self, question: str) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._questions.append((question, answer))
        self.door.arrival.set()
        return await answer

    def _rule(self) -> Permissions:
        if self._bench is not None:
            self._settings = AcpSettings.of(self._bench.reading.settings)
        return self._settings.permissions

    # -- the agent's turns

    async def _drive(self) -> None:
        """Start the agent and prompt it repeatedly; a problem is stored for `_attend`."""
        assert self._bench is not None
        try:
            client = AcpClient(self._panes, self._rule, self._ask)
            self._agent = AgentProcess(self._settings, self._bench.reading.folder, client)
            self._panes.restarted()
            await self._agent.start()
            self._panes.name = self._agent.name
            await self._turns(self._agent)
        except AgentProblemError as problem:
            self._trouble = str(problem)
        except Exception as error:  # no such error may end the run
            self._trouble = (
                f"{self._panes.name} cannot be talked to: {type(error).__name__}: {error}"
            )
        self.door.arrival.set()

    async def _turns(self, agent: AgentProcess) -> None:
        text, idle = FIRST, 0
        while True:
            calls = self.door.calls
            self._panes.begin_turn()
            reason = await self._turn(agent, text)
            self._panes.flush()
            if reason == "cancelled":
                await self._until_resumed()
                text = RESUMED
                continue
            idle = 0 if self.door.calls > calls else idle + 1
            if idle >= self._settings.idle_turns:
                raise AgentProblemError(_idle(agent.name, idle, reason, self._panes.last_words))
            if idle:
                await asyncio.sleep(IDLE_SECONDS * 2 ** (idle - 1))
            text = GO_ON

    async def _turn(self, agent: AgentProcess, text: str) -> str:
        """Run one turn and return why it ended. It is cancelled on `pause now`, or by a long
        pause."""
        turn = asyncio.ensure_future(agent.turn(text))
        loop = asyncio.get_running_loop()
        paused_since = cancelled_at = 0.0
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=LOOK_SECONDS)
                paused = self._bench.control.pause_wanted() if self._bench is not None else ""
                paused_since = (paused_since or loop.time()) if paused else 0.0
                long = paused_since and loop.time() - paused_since >= self._settings.hold_seconds
                if not cancelled_at and (paused == "now" or long) and not self._asking:
                    cancelled_at = loop.time()
                    await agent.cancel()
                if cancelled_at and loop.time() - cancelled_at > CANCEL_SECONDS:
                    raise AgentProblemError(f"{agent.name} did not stop when the run was paused")
            response = turn.result()
        finally:
            turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)
        self._panes.used(response.usage)
        return "cancelled" if cancelled_at else response.stop_reason

    async def _until_resumed(self) -> None:
        """Wait until a step is open and not paused; polls, because the control port has no
        event."""
        while True:
            if self._bench is not None and not self._bench.control.pause_wanted():
                return
            await asyncio.sleep(LOOK_SECONDS)


def _idle(name: str, turns: int, reason: str, words: str) -> str:
    """Why the run is paused after turns in which the agent called no tool of the seat."""
    last = f", saying: {' '.join(words.split())[-200:]!r}" if words.strip() else ""
    return (
        f"{name} ended {turns} turns in a row ({reason}) without calling a tool of the seat{last}"
    )
