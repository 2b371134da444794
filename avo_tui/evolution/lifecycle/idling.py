"""Slows down, then pauses, a run whose steps change nothing and take no time.

Such a step begins the next one at once: without this the record would grow by thousands of steps a
minute, whichever operator does it and why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from avo_tui.domain import events as ev
from avo_tui.evolution.lifecycle.waiting import Standstill
from avo_tui.evolution.run import Run

FIRST_SECONDS = 1.0
"""Least seconds of a step without effect; four times as many for each further one in a row."""
FACTOR = 4.0
LIMIT = 5
"""Steps without effect in a row after which the run pauses."""
REPEATS = 32
"""Calls in a row, answered from the record, that an operator may make at full speed in a step."""
REPEAT_SECONDS = 1.0


class Idling:
    """Watches one step after the other, and the calls within a step."""

    def __init__(self, run: Run, waits: Standstill) -> None:
        self._run = run
        self._waits = waits
        self._steps = 0
        """Steps in a row that had no effect."""
        self._calls = 0
        """Calls in a row that were answered without work."""

    async def step(self, make: Callable[[], Awaitable[None]]) -> None:
        """Make a step, and wait if neither its effect nor its duration holds back the next one."""
        run = self._run
        began, applied, worked = monotonic(), run.state.session.applied, run.evaluator_seconds
        await make()
        took = monotonic() - began
        longest = FIRST_SECONDS * FACTOR ** (LIMIT - 2)
        asked = run.control.pause is not None or run.control.interrupts_step() is not None
        worked = run.evaluator_seconds - worked
        if asked or took + worked >= longest or worked >= FIRST_SECONDS or self._effect(applied):
            self._steps = 0
            return
        least = FIRST_SECONDS * FACTOR**self._steps
        self._steps += 1
        if took >= least:
            return
        reason = self._reason()
        if self._steps < LIMIT:
            await self._waits.park(least - took, reason)
            return
        self._steps = 0
        await self._waits.pause_for(
            f"{reason}. A hint, a rewind or another operator may help; then resume"
        )

    def _effect(self, applied: int) -> bool:
        """Whether an event after number `applied` shows that something was learned or changed."""
        events = reversed(self._run.writer.step_events(self._run.state.session.step))
        for event in events:
            if event.seq <= applied:
                return False
            match event:
                case ev.PairMeasured() | ev.VersionCommitted() | ev.CommandTaken():
                    return True
                case ev.HintDelivered() | ev.VersionRemeasured() | ev.CandidateProfiled():
                    return True
                case ev.Spent(spend=spend) if spend.evaluations or spend.requests:
                    return True
        return False

    def _reason(self) -> str:
        run = self._run
        count = f"{self._steps} step{'s' if self._steps > 1 else ''} in a row"
        last = run.state.steps.get(run.state.session.step)
        why = (last.reason if last is not None else "") or "no reason was given"
        return f"{count} by the {run.author} changed nothing and took no time, the last: {why}"

    async def call(self, worked: bool) -> None:
        """Let other tasks run after a call of the operator; slow down calls without work."""
        self._calls = 0 if worked else self._calls + 1
        if self._calls > REPEATS:
            await self._run.control.changed(REPEAT_SECONDS)
        else:
            await asyncio.sleep(0)
