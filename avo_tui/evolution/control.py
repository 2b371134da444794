"""What the person wants of the run at this moment, and a way to wait for a change of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from avo_tui.domain.commands import Command
from avo_tui.domain.records import PauseMode, RunState, StepOutcomeName
from avo_tui.operators.ports import Interrupted

T = TypeVar("T")


class Finish(Exception):  # noqa: N818 - control flow, not an error
    """The run ends in good order."""

    def __init__(self, state: RunState, reason: str) -> None:
        super().__init__(reason)
        self.state: RunState = state
        self.reason = reason


@dataclass
class End:
    """The running step is to end."""

    outcome: StepOutcomeName
    reason: str


@dataclass
class Control:
    """Wishes that stand until they are met. Handlers of commands set them, the loop meets them."""

    pause: PauseMode | None = None
    pause_reason: str = ""
    end: End | None = None
    stop: str | None = None
    skip_wait: bool = False
    """A parked wait is to be cut short."""
    hint_now: bool = False
    """A hint is to be delivered at once."""
    jobs: deque[Command] = field(default_factory=deque)
    """Commands that need the evaluator; done at the next boundary."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def ask_pause(self, reason: str) -> None:
        """Has the run pause at its next boundary because the person must mend something."""
        self.pause, self.pause_reason = "after_tool", reason

    def end_step(self, outcome: StepOutcomeName, reason: str) -> None:
        """Has the open step end at its next boundary, cutting off what runs."""
        self.end = End(outcome, reason)
        self.pulse()

    def pulse(self) -> None:
        """Wakes everything that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, seconds: float | None = None) -> bool:
        """Waits for the next change, at most `seconds`; False where none came."""
        event = self._changed
        try:
            return await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False

    def interrupts_step(self) -> str | None:
        """Why work of the step must be cut off now; None while it may go on."""
        if self.stop is not None:
            return self.stop
        if self.end is not None:
            return self.end.reason
        if self.pause == "now":
            return "paused"
        if self.hint_now:
            return "a hint"
        return None

    def interrupts_job(self) -> str | None:
        """Why work for a command of the person must be cut off now."""
        return self.stop

    async def race(self, work: Awaitable[T], cut: Callable[[], str | None]) -> T:
        """Awaits `work`; cancels it and raises Interrupted as soon as `cut` gives a reason.

        Work that is complete when the reason comes is not thrown away.
        """
        task = asyncio.ensure_future(work)
        try:
            while not task.done() and cut() is None:
                waiter = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiter.cancel()
            reason = cut() or ""
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        if task.cancelled():
            raise Interrupted(reason)
        return task.result()
