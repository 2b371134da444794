"""Boundaries of a step: where pauses, hints, waits and caps reach the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Literal, TypeVar

from avo_tui.domain import events as ev
from avo_tui.domain.records import Hint
from avo_tui.evolution.lifecycle.waiting import Standstill
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.evolution.watch.supervisor import Supervisor
from avo_tui.operators.ports import Presence

T = TypeVar("T")

STANDBY_SECONDS = 1.0
"""Seconds between two checks whether an operator is present, while a step waits for one."""


class StepControl:
    """Passes the person's requests to the operator; implements
    `avo_tui.operators.ports.Control`."""

    def __init__(
        self, run: Run, step: int, waits: Standstill, budget: BudgetWatch, supervisor: Supervisor
    ) -> None:
        self._run = run
        self._step = step
        self._waits = waits
        self._budget = budget
        self._supervisor = supervisor

    async def boundary(self, place: str, *, end_of_turn: bool = False) -> Sequence[Hint]:
        control = self._run.control
        self._budget.warn()
        if control.pause != "now" and not control.hint_now:
            self._supervisor.look()
        await self._waits.boundary()
        await asyncio.sleep(0)  # an operator may come here again and again without waiting
        return self._deliver(place, end_of_turn)

    def pause_wanted(self) -> Literal["", "now", "later"]:
        pause = self._run.control.pause
        return "" if pause is None else "now" if pause == "now" else "later"

    def take_hints(self, place: str) -> Sequence[Hint]:
        return self._deliver(place, end_of_turn=True)

    def _deliver(self, place: str, end_of_turn: bool) -> Sequence[Hint]:
        run = self._run
        hints = [
            h
            for h in run.state.hints.values()
            if h.state == "queued" and (end_of_turn or h.delivery != "end_of_turn")
        ]
        where = f"step {self._step}, {place}"
        if hints:
            run.record(*(ev.HintDelivered(hint=hint.id, where=where) for hint in hints))
        run.control.hint_now = False
        return [run.state.hints[h.id] for h in hints]

    async def standby(self, arrival: asyncio.Event, presence: Callable[[], Presence]) -> None:
        run, control, clock = self._run, self._run.control, self._run.clock
        try:
            while True:
                await self._waits.boundary()
                if arrival.is_set():
                    clock.confirm()
                    return
                now = presence()
                if now.absent:
                    clock.discard()
                elif not now.certain:
                    clock.doubt()
                else:
                    clock.confirm()
                (clock.hold if now.absent else clock.release)("seat")
                if control.pause is None:
                    run.set_state("running", now.absent)
                await _first(arrival.wait(), control.changed(STANDBY_SECONDS))
        finally:
            clock.discard()
            clock.release("seat")

    async def interruptible(self, work: Awaitable[T]) -> T:
        return await self._run.control.race(work, self._run.control.interrupts_step)

    async def park(self, seconds: float, reason: str) -> None:
        await self._waits.park(seconds, reason)
        await self._waits.boundary()

    async def pause_for(self, reason: str) -> None:
        await self._waits.pause_for(reason)
        self._waits.raise_if_ended()

    def budget_left(self) -> str | None:
        return self._budget.used_up()


async def _first(*works: Coroutine[None, None, object]) -> None:
    """Return when the first of the given coroutines is done, and cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
