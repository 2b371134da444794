"""Runs one client's calls that may take longer than the client waits for an answer.

Programs that host an agent often give up on a tool after a minute. A tool that takes longer keeps
running; the caller is told so, and gets the answer from the tool `wait`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from avo_tui.operators.seat.step import WAIT
from avo_tui.operators.seat.wire import Answer, Hello
from avo_tui.operators.toolbox.running_call import so_far
from avo_tui.seat.client import SeatClient, SeatLeftError

PATIENCE = 45.0
"""Seconds after which a caller is told that its tool is still running."""

TICK = 2.0
"""Seconds between two progress messages."""

SitDown = Callable[[Hello], Awaitable[SeatClient]]
Ticking = Callable[[float, str], Awaitable[None]]
"""Called while a tool runs, with the seconds so far and what it does, "" if that is not known."""


class PatientCalls:
    """The calls of one client, one at a time. The first call takes the seat."""

    def __init__(self, sit_down: SitDown, patience: float = PATIENCE) -> None:
        self._sit_down = sit_down
        self._patience = patience
        self._client: SeatClient | None = None
        self._running: asyncio.Task[Answer] | None = None
        self._tool = ""
        self.told: set[str] = set()
        """What was told of the person's wishes since the running tool began."""
        self.used = asyncio.get_running_loop().time()
        """Time of the last call, by the event loop's clock."""

    async def call(
        self, hello: Hello, tool: str, arguments: Mapping[str, Any], progress: Ticking
    ) -> tuple[Answer, bool]:
        """(an answer, True where the tool still runs). Raises SeatError."""
        self.used = asyncio.get_running_loop().time()
        if self._running is None:
            self._running = asyncio.create_task(self._ask(hello, tool, arguments))
            self._tool = tool
        elif tool != WAIT:
            text = f"Not run: {self._tool} still runs. Its answer comes with `wait`."
            return self._busy("\n".join(filter(None, [text, self.doing()])), ok=False), True
        running = self._running
        began = asyncio.get_running_loop().time()
        while not running.done():
            await asyncio.wait({running}, timeout=TICK)
            passed = asyncio.get_running_loop().time() - began
            if running.done():
                break
            if passed >= self._patience:
                text = f"{self._tool} still runs. Call `wait` for its answer."
                if self._tool == WAIT:
                    text = "No answer yet. Call `wait` again."
                return self._busy("\n".join(filter(None, [text, self.doing()]))), True
            await progress(passed, self.doing())
        self.used = asyncio.get_running_loop().time()
        if self._running is not running:  # a `wait` beside the call, or another one, has taken it
            return self._busy("The answer was given to another call that waited for it."), False
        self._running = None
        return running.result(), False

    def _busy(self, text: str, *, ok: bool = True) -> Answer:
        return Answer(id=0, ok=ok, text=text)

    async def _ask(self, hello: Hello, tool: str, arguments: Mapping[str, Any]) -> Answer:
        if self._client is None or self._client.gone:
            self._client = await self._sit_down(hello)
        try:
            return await self._client.call(tool, arguments)
        except SeatLeftError:
            self._client = None
            raise

    def doing(self) -> str:
        """What the running tool does now and what it has brought, "" where that is not known."""
        working = self._client.working if self._client is not None else None
        return so_far(working.working, working.results) if working is not None else ""

    @property
    def idle(self) -> bool:
        """True while no tool runs."""
        return self._running is None

    async def close(self) -> None:
        """Leave the seat."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
