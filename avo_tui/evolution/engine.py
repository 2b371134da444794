"""The engine: makes step after step from the head of one lineage, under the person's control."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import traceback
from collections.abc import Awaitable, Callable, Sequence

from avo_tui import __version__
from avo_tui.domain import events as ev
from avo_tui.domain import stall_rules
from avo_tui.domain.base import now
from avo_tui.domain.questions import MachineQuestion
from avo_tui.domain.records import EngineRecord, RunState, StepOutcomeName
from avo_tui.domain.secrets import redact
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.evaluator import Evaluator
from avo_tui.evolution import steps
from avo_tui.evolution.admission.audit import Auditor
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.admission.gate import AcceptanceGate
from avo_tui.evolution.commands import CommandInbox, Desk
from avo_tui.evolution.control import Finish
from avo_tui.evolution.lifecycle import recovery, seeding
from avo_tui.evolution.lifecycle.idling import Idling
from avo_tui.evolution.lifecycle.waiting import Standstill
from avo_tui.evolution.options import count
from avo_tui.evolution.run import EngineMode, Listener, Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.evolution.watch.devices import watch_devices
from avo_tui.evolution.watch.supervisor import Supervisor
from avo_tui.evolution.watch.workers import WorkerWatch
from avo_tui.evolution.workbench import Parts, StepWorkbench
from avo_tui.operators.knowledge_port import Knowledge
from avo_tui.operators.ports import Closing, Interrupted, Operator, StepEnded
from avo_tui.store import DiskTrouble, FolderLost, SessionWriter

log = logging.getLogger(__name__)

INBOX_SECONDS = 0.12
HEARTBEAT_SECONDS = 3.0
SPENT_SECONDS = 10.0
"""Seconds between two recordings of the running time."""


class Engine:
    """Runs one session. Everything it does is recorded as events in the session's journal."""

    def __init__(
        self,
        writer: SessionWriter,
        evaluator: Evaluator,
        operator: Operator,
        knowledge: Knowledge,
        *,
        listeners: Sequence[Listener] = (),
        mode: EngineMode | None = None,
    ) -> None:
        self.run_context = run = Run(writer, evaluator, operator, listeners=listeners, mode=mode)
        self._knowledge = knowledge
        self._budget = BudgetWatch(run)
        self._supervisor = Supervisor(run, self._budget)
        self._evaluations = EvaluationRecorder(run)
        self._gate = AcceptanceGate(run, self._evaluations)
        self._auditor = Auditor(run, self._evaluations)
        self.inbox = CommandInbox(
            Desk(run, self._supervisor, self._evaluations, self._gate, self._budget)
        )
        self._waits = Standstill(run, self.inbox, self._budget, self._supervisor)
        self._idling = Idling(run, self._waits)
        self._parts = Parts(
            self._evaluations,
            self._gate,
            self._waits,
            self._budget,
            self._supervisor,
            self._idling,
        )
        self._workers = WorkerWatch(run)
        self._troubles = 0
        self._learning: asyncio.Task[None] | None = None

    def stop(self, reason: str) -> None:
        """Ask the run to end in an orderly way; may be called from a signal handler of the event
        loop."""
        self.run_context.stop(reason)

    # -- the run

    async def run(self) -> RunState:
        """Run until the budget, the person or a stop condition ends the run; returns the last
        state.

        Raises FolderLost if the session folder was replaced or removed while it was open.
        """
        helpers = [
            asyncio.create_task(self._watch_inbox(), name="inbox"),
            asyncio.create_task(self._beat(), name="heartbeat"),
        ]
        sensing = asyncio.create_task(watch_devices(self.run_context), name="devices")
        flow = asyncio.create_task(self._flow(), name="flow")
        end = Finish("stopped", "the engine was cancelled")
        try:
            await asyncio.wait({flow, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            for helper in helpers:
                if helper.done() and not flow.done():
                    flow.cancel()
                    await asyncio.wait({flow})
                    helper.result()
            await flow
        except Finish as finish:
            end = finish
        except asyncio.CancelledError:
            flow.cancel()
            await asyncio.gather(flow, return_exceptions=True)
        finally:
            learning = [self._learning] if self._learning is not None else []
            for task in (*helpers, sensing, *learning):
                task.cancel()
            await asyncio.gather(*helpers, sensing, *learning, return_exceptions=True)
            if isinstance(self.run_context.operator, Closing):
                await self.run_context.operator.close()
            await self.run_context.evaluator.close()
        self._record_end(end)
        return end.state

    def _record_end(self, end: Finish) -> None:
        """The end of the record. The state may still be written where the disk is full."""
        run = self.run_context
        for write in (
            run.settle,
            lambda: run.record(ev.EngineStopped(state=end.state, reason=end.reason)),
        ):
            try:
                write()
            except DiskTrouble as error:
                log.error("the end is not fully on record: %s", error)

    async def _announce(self) -> None:
        self._identify()
        run = self.run_context
        actions = [*run.writer.recovered, *recovery.mend(run)]
        if actions:
            run.record(ev.Recovered(actions=tuple(actions)))

    def _identify(self) -> None:
        machine, before = self.run_context.machine, self.run_context.before.engine
        engine = EngineRecord(
            pid=os.getpid(),
            host=platform.node(),
            started=now(),
            version=__version__,
            sandbox=machine.sandbox if machine else "",
            sandbox_warning=machine.sandbox_warning if machine else "",
            device=machine.device if machine else "",
            restarts=self.run_context.mode.restarts,
            machine=machine or (before.machine if before is not None else None),
        )
        self.run_context.record(ev.EngineStarted(engine=engine))

    async def _flow(self) -> None:
        run = self.run_context
        await self._patiently(self._announce)
        if run.mode.only_inbox:
            await self._patiently(self._only_inbox)
        await self._patiently(self._restore)
        run.clock.start()
        await self._patiently(self._warm)
        while True:
            await self._patiently(self._next)
            await asyncio.sleep(0)  # an operator need not wait for anything, but others must run

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`; if the disk refuses a write in the middle, wait for the disk and start
        again."""
        run = self.run_context
        while True:
            try:
                await work()
            except DiskTrouble as error:
                await self._waits.for_disk(error, lambda: recovery.mend(run))
            else:
                return

    async def _restore(self) -> None:
        run = self.run_context
        recovery.restore_wishes(run)
        if run.before.state not in {"paused", "pausing", "parked"}:
            run.set_state("starting", "the evaluator is warming up")

    async def _warm(self) -> None:
        run = self.run_context
        await self._waits.wait_out_parking()
        await self._waits.rest()
        if run.evaluator.queue() is not None and run.state.versions and run.machine is None:
            # its device comes and goes: what needs none need not wait for the next answer
            before = run.before.engine
            run.machine = before.machine if before is not None else None
            if run.machine is not None and self._learning is None:
                self._learning = asyncio.create_task(self._learn_machine(), name="machine")
        await seeding.know_machine(run, self._waits)
        self._identify()

    async def _learn_machine(self) -> None:
        """Take the machine as its next worker tells it in place of the one of the last engine."""
        run = self.run_context
        try:
            run.machine = await run.evaluator.ask(run.state.session.task.name, MachineQuestion())
            self._identify()
        except (EvaluatorError, DiskTrouble) as error:
            log.error("the machine is not known anew: %s", error)

    async def _next(self) -> None:
        """Plant the seed if the lineage is empty; otherwise make one step, or wait for one."""
        run = self.run_context
        if not run.state.versions:
            await seeding.plant(run, self._evaluations, self._waits)
        await self._waits.rest()
        if run.open_step is None:
            await self._auditor.between_steps()
            await self._waits.rest()
        run.set_state("running")
        if run.traits.steps_by_itself:
            await self._idling.step(self._step)
        else:
            await self._wait_for_submission()

    async def _only_inbox(self) -> None:
        """Handle the inbox and the queued commands, then end in the state the run was in before."""
        run = self.run_context
        await self.inbox.take_all()
        while run.control.jobs and run.control.stop is None:
            await self.inbox.do_jobs()
            await self.inbox.take_all()
        before = run.before.state
        state: RunState = before if before in {"stopped", "finished", "paused"} else "stopped"
        raise Finish(state, run.control.stop or run.before.state_reason)

    # -- a step

    async def _step(self) -> None:
        run = self.run_context
        step = run.open_step
        if step is not None and step.command:
            # the engine ended while it carried out a command that is no longer in the inbox
            steps.finish(run, "nothing", "its command no longer exists")
            return
        if step is None:
            parent = stall_rules.next_parent(run.state)
            number = run.state.session.step + 1
            run.record(ev.StepStarted(step=number, parent=parent))
        else:
            number, parent = step.number, step.parent
        head = run.state.versions[parent]
        bench = StepWorkbench(run, self._parts, number, head, self._knowledge)
        try:
            await self._vary(bench)
        finally:
            run.settle()

    async def _vary(self, bench: StepWorkbench) -> None:
        run = self.run_context
        outcome: StepOutcomeName = "nothing"
        reason = ""
        over = False
        try:
            done = await run.operator.vary(bench)
            outcome, reason = done.outcome, done.reason
            over = outcome == "stopped"
            self._troubles = 0
        except StepEnded as ended:
            outcome, reason = ended.outcome, ended.reason
        except Interrupted:
            return  # not handled by the operator: wait, then continue the step
        except (DiskTrouble, FolderLost, Finish):
            raise
        except Exception as error:
            outcome, reason = "failed", self._operator_failed(bench.reading.step, error)
        if run.control.stop is not None:
            raise Finish("stopped", run.control.stop)
        steps.finish(run, outcome, reason)
        if over:
            raise Finish("finished", reason)
        limit = count(run.state.session.settings, "troubles")
        if limit and self._troubles >= limit:
            self._troubles = 0
            await self._waits.pause_for(f"the {run.author} failed again and again: {reason}")

    def _operator_failed(self, step: int, error: Exception) -> str:
        self._troubles += 1
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        run = self.run_context
        detail = "".join(traceback.format_exception(error))
        run.trouble(f"{run.author}, step {step}", reason, detail)
        return redact(reason)

    async def _wait_for_submission(self) -> None:
        run = self.run_context
        run.clock.hold("submission")
        try:
            while run.control.pause is None and run.control.stop is None:
                if run.control.jobs:
                    run.clock.release("submission")
                    await self.inbox.do_jobs()
                    return
                await run.idle()
        finally:
            run.clock.release("submission")

    # -- background tasks

    async def _beat(self) -> None:
        run = self.run_context
        since_spent = 0.0
        while True:
            try:
                run.writer.heartbeat()
            except DiskTrouble as error:
                log.error("no heartbeat: %s", error)
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if stood := run.clock.beat(HEARTBEAT_SECONDS):
                self._say_frozen(stood)
            since_spent += HEARTBEAT_SECONDS
            if since_spent >= SPENT_SECONDS and run.clock.pending > 1.0:
                since_spent = 0.0
                try:
                    run.settle()
                    if run.state.versions:
                        self._budget.warn()
                except DiskTrouble as error:
                    log.error("running time is not recorded yet: %s", error)
            try:
                self._workers.look()
            except DiskTrouble as error:
                log.error("changes of the devices are not recorded yet: %s", error)

    def _say_frozen(self, seconds: float) -> None:
        what = f"this process stood still for {seconds:.0f} s (stopped, or short of processor time)"
        try:
            self.run_context.trouble("engine", f"{what}; they are not counted as running time")
        except DiskTrouble as error:
            log.error("%s; %s", what, error)

    async def _watch_inbox(self) -> None:
        while True:
            await asyncio.sleep(INBOX_SECONDS)
            await self.inbox.take_all()
