"""All kinds of waiting: between steps, paused, parked, or for a disk that refuses writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from math import inf
from pathlib import Path
from time import monotonic

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.budget import Spend
from avo_tui.evolution import steps
from avo_tui.evolution.commands import CommandInbox
from avo_tui.evolution.control import Finish
from avo_tui.evolution.options import PATIENCE_OPTION, disk_patience
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.evolution.watch.supervisor import Supervisor
from avo_tui.operators.ports import StepEnded
from avo_tui.store import DiskTrouble

log = logging.getLogger(__name__)

DISK_SECONDS = 2.0
"""Seconds between two attempts to write while the disk refuses."""


class Standstill:
    """Carries out the person's requests to pause, stop or wait.

    Waiting never counts as running time.
    """

    def __init__(
        self, run: Run, inbox: CommandInbox, budget: BudgetWatch, supervisor: Supervisor
    ) -> None:
        self._run = run
        self._control = run.control
        self._inbox = inbox
        self._budget = budget
        self._supervisor = supervisor
        self._disk_well = -inf
        """Monotonic time at which the disk last accepted writes again after a failure."""
        self._refused: Path | None = None
        """The file that the disk refused last."""

    async def rest(self) -> None:
        """Wait between two steps. Returns when the next may begin; raises Finish if the run is to
        end."""
        run, control = self._run, self._control
        while True:
            await self._inbox.take_all()
            if control.stop is not None:
                raise Finish("stopped", control.stop)
            if control.end is not None:
                steps.finish(run, control.end.outcome, control.end.reason)
                control.end = None
            if control.pause is not None:
                await self._paused()
            elif control.jobs and run.machine is not None and run.state.versions:
                await self._inbox.do_jobs()
            else:
                break
        control.hint_now = control.hint_now and run.open_step is not None
        if run.state.versions:
            self._budget.warn()
            reason = self._budget.run_used_up()
            if reason is not None:
                steps.finish(run, "stopped", reason)
                raise Finish("finished", reason)
            self._supervisor.look()

    async def _paused(self) -> None:
        """Wait until the pause ends; carries out the person's commands meanwhile."""
        run, control = self._run, self._control
        run.set_state("paused", control.pause_reason)
        run.settle()
        run.clock.hold("paused")
        try:
            while control.pause is not None and not self._leaves():
                if control.jobs and run.state.versions:
                    await self._inbox.do_jobs()
                else:
                    await run.idle()
        finally:
            run.clock.release("paused")
        if control.pause is None and control.stop is None:
            run.set_state("running")

    def _leaves(self) -> bool:
        return self._control.stop is not None or self._control.end is not None

    async def boundary(self) -> None:
        """A boundary inside a step: waits while the run is paused. Raises StepEnded."""
        control = self._control
        await self._inbox.take_all()
        while True:
            self.raise_if_ended()
            if control.pause in {"after_tool", "now"}:
                await self._paused()
            elif control.jobs:
                await self._inbox.do_jobs()
            else:
                return

    def raise_if_ended(self) -> None:
        """Raises StepEnded if a request to end the step is pending."""
        if self._control.stop is not None:
            raise StepEnded("stopped", self._control.stop)
        if self._control.end is not None:
            raise StepEnded(self._control.end.outcome, self._control.end.reason)

    async def pause_for(self, reason: str) -> None:
        """Pause because of a problem that the person must fix; returns when resumed or ended."""
        self._control.ask_pause(reason)
        await self._paused()
        if self._control.stop is not None and self._run.open_step is None:
            raise Finish("stopped", self._control.stop)

    async def park(self, seconds: float, reason: str) -> None:
        """Park the run for `seconds`; `resume` ends the wait early, and so does a pause or an
        end."""
        run, control = self._run, self._control
        until, over = now() + timedelta(seconds=seconds), monotonic() + seconds
        run.settle()
        run.record(ev.StateChanged(state="parked", reason=reason, until=until))
        control.skip_wait = False
        run.clock.hold("parked")
        try:
            # The wall clock may be set back by days, and the monotonic clock stands still while the
            # machine sleeps. The wait ends as soon as one of them has reached its end.
            while (left := min((until - now()).total_seconds(), over - monotonic())) > 0:
                if control.skip_wait or control.pause is not None or self._leaves():
                    break
                await run.idle(left)
        finally:
            run.clock.release("parked")
            control.skip_wait = False
        if control.stop is None and control.pause is None:
            run.set_state("running")

    async def wait_out_parking(self) -> None:
        """Continue the wait of a run that was parked when its last engine ended."""
        before = self._run.before
        until = before.parked_until
        if before.state == "parked" and until is not None and until > now():
            left = until - now()
            if before.state_since is not None:  # the wall clock may have been set back since
                left = min(left, until - before.state_since)
            await self.park(left.total_seconds(), before.state_reason or "parked")

    async def for_disk(self, error: DiskTrouble, mend: Callable[[], object]) -> None:
        """Parks while the disk takes nothing, and tries again every few seconds, with `mend`.

        The reason is on record as soon as the disk takes that much: where it is full, a reserve
        is there for it. Raises Finish once the person's patience is over.
        """
        run, control = self._run, self._control
        log.error("%s", error)
        run.clock.hold("disk")
        give_up = monotonic() + disk_patience(run.state.session.settings)
        try:
            if error.path == self._refused or monotonic() - self._disk_well < DISK_SECONDS:
                # the test write succeeds although the real one fails, for example because it is
                # smaller
                run.writer.say_waiting(str(error))
                await control.changed(DISK_SECONDS)
            self._refused = error.path
            # nothing else may wait on the way, and other tasks must run: heartbeat, inbox, signals
            await asyncio.sleep(0)
            while control.stop is None:
                run.writer.say_waiting(str(error))
                try:
                    run.set_state("parked", str(error))
                    run.writer.flush()
                    run.record(ev.Spent(spend=Spend()))
                    mend()
                    run.writer.probe(error)
                    run.set_state("running", "the disk is well again")
                    self._disk_well = monotonic()
                    break
                except DiskTrouble as again:
                    if monotonic() > give_up:
                        raise Finish("stopped", f"{again} ({PATIENCE_OPTION} is over)") from again
                    await control.changed(DISK_SECONDS)
        finally:
            run.writer.say_waiting("")
            run.clock.release("disk")
        if control.stop is not None:
            raise Finish("stopped", control.stop)
