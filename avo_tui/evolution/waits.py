"""Standing still: between steps, paused, parked, or for want of room on the disk."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.budget import Spend
from avo_tui.evolution import recovery
from avo_tui.evolution.control import Finish
from avo_tui.operators.ports import StepEnded
from avo_tui.store import NoSpace

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine

log = logging.getLogger(__name__)

ROOM_SECONDS = 2.0


class Waits:
    """Where the person's wishes are honoured. Waiting never counts as running time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._control = engine.control

    async def rest(self) -> None:
        """Between two steps. Returns when the next may begin; raises Finish when none will."""
        engine, control = self._engine, self._control
        while True:
            engine.take_commands()
            if control.stop is not None:
                raise Finish("stopped", control.stop)
            if control.end is not None:
                if engine.busy_step is not None:
                    engine.finish_step(control.end.outcome, control.end.reason)
                control.end = None
            if control.pause is not None:
                await self._paused()
            elif control.jobs and engine.machine is not None and engine.state.versions:
                await engine.do_jobs()
            else:
                break
        control.hint_now = control.hint_now and engine.busy_step is not None
        if engine.state.versions:
            engine.budget.warn()
            reason = engine.budget.run_used_up()
            if reason is not None:
                if engine.busy_step is not None:
                    engine.finish_step("stopped", reason)
                raise Finish("finished", reason)
            engine.supervisor.look()

    async def _paused(self) -> None:
        """Stands still until something changes; does the person's jobs meanwhile."""
        engine, control = self._engine, self._control
        engine.set_state("paused", control.pause_reason)
        engine.settle()
        engine.clock.hold("paused")
        try:
            while control.pause is not None and not self._leaves():
                if control.jobs and engine.state.versions:
                    await engine.do_jobs()
                else:
                    await control.changed()
        finally:
            engine.clock.release("paused")
        if control.pause is None and control.stop is None:
            engine.set_state("running")

    def _leaves(self) -> bool:
        return self._control.stop is not None or self._control.end is not None

    async def boundary(self) -> None:
        """A boundary inside a step: stands still while paused. Raises StepEnded."""
        engine, control = self._engine, self._control
        engine.take_commands()
        while True:
            self.raise_if_ended()
            if control.pause in {"after_tool", "now"}:
                await self._paused()
            elif control.jobs:
                await engine.do_jobs()
            else:
                return

    def raise_if_ended(self) -> None:
        """Raises StepEnded where the step is to end."""
        if self._control.stop is not None:
            raise StepEnded("stopped", self._control.stop)
        if self._control.end is not None:
            raise StepEnded(self._control.end.outcome, self._control.end.reason)

    async def pause_for(self, reason: str) -> None:
        """Pauses because the person must mend something; returns when resumed or ended."""
        self._control.pause = "after_tool"
        self._control.pause_reason = reason
        await self._paused()
        if self._control.stop is not None and self._engine.busy_step is None:
            raise Finish("stopped", self._control.stop)

    async def park(self, seconds: float, reason: str) -> None:
        """Waits, visibly; `resume` cuts it short, a pause or an end takes its place."""
        engine, control = self._engine, self._control
        until = now() + timedelta(seconds=seconds)
        engine.settle()
        engine.record(ev.StateChanged(state="parked", reason=reason, until=until))
        control.skip_wait = False
        engine.clock.hold("parked")
        try:
            while (left := (until - now()).total_seconds()) > 0:
                if control.skip_wait or control.pause is not None or self._leaves():
                    break
                await control.changed(left)
        finally:
            engine.clock.release("parked")
            control.skip_wait = False
        if control.stop is None and control.pause is None:
            engine.set_state("running")

    async def wait_out_parking(self) -> None:
        """Goes on waiting where the engine before this one was parked."""
        before = self._engine.before
        until = before.parked_until
        if before.state == "parked" and until is not None and until > now():
            await self.park((until - now()).total_seconds(), before.state_reason or "parked")

    async def for_room(self, error: NoSpace) -> None:
        """Parks while the disk is full, and tries again every few seconds."""
        engine, control = self._engine, self._control
        log.error("%s", error)
        engine.clock.hold("no room")
        try:
            while control.stop is None:
                try:
                    engine.set_state("parked", str(error))
                    engine.writer.flush()
                    engine.record(ev.Spent(spend=Spend()))
                    break
                except NoSpace:
                    await control.changed(ROOM_SECONDS)
        finally:
            engine.clock.release("no room")
        if control.stop is not None:
            raise Finish("stopped", control.stop)
        recovery.mend(engine)
        engine.set_state("running", "there is room on the disk again")
