"""What the person currently wants of the run, and a way to wait for changes to it."""

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

Cut = Callable[[], str | None]
"""Returns why the current work must be cancelled now; None while it may continue."""


class Finish(Exception):  # noqa: N818 - control flow, not an error
    """Raised to end the run in an orderly way."""

    def __init__(self, state: RunState, reason: str) -> None:
        super().__init__(reason)
        self.state: RunState = state
        self.reason = reason


@dataclass
class End:
    """A request to end the running step."""

    outcome: StepOutcomeName
    reason: str


@dataclass
class Control:
    """Requests of the person that are not yet carried out.

    Command handlers set them; the engine's loop carries them out.
    """

    pause: PauseMode | None = None
    pause_reason: str = ""
    end: End | None = None
    stop: str | None = None
    skip_wait: bool = False
    """True to end the waiting time of a parked run early."""
    hint_now: bool = False
    """True if a hint must be delivered immediately."""
    jobs: deque[Command] = field(default_factory=deque)
    """Commands that need the evaluator; carried out at the next boundary."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def ask_pause(self, reason: str) -> None:
        """Pause the run at its next boundary, because of a problem that the person must fix."""
        self.pause, self.pause_reason = "after_tool", reason

    def end_step(self, outcome: StepOutcomeName, reason: str) -> None:
        """End the open step at its next boundary, and cancel the work in progress."""
        self.end = End(outcome, reason)
        self.pulse()

    def pulse(self) -> None:
        """Wake all tasks that wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, seconds: float | None = None) -> bool:
        """Wait for the next change, for at most `seconds`; returns False on timeout."""
        event = self._changed
        try:
            return await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False

    def interrupts_step(self) -> str | None:
        """Why the step's current work must be cancelled now; None if it may continue."""
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
        """Why the current work for a command must be cancelled now; None if it may continue."""
        return self.stop

    async def race(self, work: Awaitable[T], cut: Cut) -> T:
        """Await `work`, but cancel it and raise Interrupted as soon as `cut` returns a reason.

        If the work is already complete at that time, its result is returned.
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
