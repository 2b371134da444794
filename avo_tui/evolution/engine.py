"""The engine: one lineage, one head, step after step, under the person's control."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import traceback
from collections.abc import Callable, Sequence

from avo_tui import __version__
from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.base import now
from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Command
from avo_tui.domain.records import (
    Attempt,
    EngineRecord,
    RunState,
    Step,
    StepOutcomeName,
    Version,
)
from avo_tui.domain.state import SessionState
from avo_tui.domain.verdict import EvaluationReport, MachineInfo
from avo_tui.evaluation.ports import Evaluator
from avo_tui.evolution import commands, jobs, recovery, seeding
from avo_tui.evolution.bench import Bench
from avo_tui.evolution.budgets import BudgetWatch
from avo_tui.evolution.clock import Clock
from avo_tui.evolution.control import Control, End, Finish
from avo_tui.evolution.measure import Measure
from avo_tui.evolution.redact import redact
from avo_tui.evolution.supervisor import Supervisor
from avo_tui.evolution.waits import Waits
from avo_tui.operators.ports import Interrupted, Knowledge, Operator, StepEnded
from avo_tui.store import BadCommand, NoSpace, SessionWriter

log = logging.getLogger(__name__)

INBOX_SECONDS = 0.12
HEARTBEAT_SECONDS = 3.0
SPENT_SECONDS = 10.0

Listener = Callable[[ev.Event], None]


class Engine:
    """Runs one session. Everything it does is an event in the session's journal."""

    def __init__(
        self,
        writer: SessionWriter,
        evaluator: Evaluator,
        operator: Operator,
        knowledge: Knowledge,
        *,
        listeners: Sequence[Listener] = (),
        brief: bool = False,
    ) -> None:
        self.writer = writer
        self.evaluator = evaluator
        self.operator = operator
        self.knowledge = knowledge
        self.control = Control()
        self.clock = Clock()
        self.machine: MachineInfo | None = None
        self.brief = brief
        """Only takes what is in the inbox, then ends."""
        self.measure = Measure(self)
        self.supervisor = Supervisor(self)
        self.budget = BudgetWatch(self)
        self.waits = Waits(self)
        self.gate_lock = asyncio.Lock()
        self._listeners = tuple(listeners)
        self._troubles = 0
        self._in_hand: set[str] = set()
        self.before = writer.state.session
        """The session's row as the last engine left it."""

    # -- the record

    @property
    def state(self) -> SessionState:
        """The tables, as of the last event."""
        return self.writer.state

    def record(self, event: ev.Event) -> ev.Event:
        """Journals an event and tells the listeners."""
        recorded = self.writer.record(event)
        for listener in self._listeners:
            try:
                listener(recorded)
            except OSError as error:
                self._listeners = tuple(x for x in self._listeners if x is not listener)
                self.stop(f"nobody reads the output any more: {error.strerror or error}")
        return recorded

    def set_state(self, state: RunState, reason: str = "", **more: object) -> None:
        """Records a change of the run's state; nothing where it is the same already."""
        session = self.state.session
        if session.state != state or session.state_reason != reason:
            self.record(ev.StateChanged.model_validate({"state": state, "reason": reason, **more}))

    def trouble(self, where: str, message: str, detail: str = "") -> None:
        """Notes something that went wrong and that the person should know of."""
        message = redact(message)
        log.warning("%s: %s", where, message)
        ref = self.writer.put(redact(detail)) if detail else None
        self.record(ev.TroubleNoted(where=where, message=message[:2000], ref=ref))

    def settle(self) -> None:
        """Writes the running time that was counted so far into the record."""
        seconds = self.clock.pending
        if seconds > 0:
            self.record(ev.Spent(spend=Spend(seconds=seconds)))
            self.clock.take()

    # -- questions

    @property
    def busy_step(self) -> Step | None:
        """The step that is open, if one is."""
        return self.state.current_step

    def reference(self) -> Version:
        """The best version on the head's line: what a gate compares with."""
        head = self.state.session.head
        assert head is not None
        return lineage.line_best(self.state.versions, head)

    def candidate(self, identity: str) -> Candidate:
        """Source of a candidate that was stored. Raises KeyError."""
        return Candidate.model_validate_json(self.writer.get(identity))

    # -- the run

    async def run(self) -> RunState:
        """Runs until the budget, the person or a stop condition ends it; returns the last state."""
        self._announce()
        helpers = [
            asyncio.create_task(self._watch_inbox(), name="inbox"),
            asyncio.create_task(self._beat(), name="heartbeat"),
        ]
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
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self.evaluator.close()
        self._last_words(end)
        return end.state

    def _last_words(self, end: Finish) -> None:
        """The end of the record. The state may still be written where the disk is full."""
        for write in (
            self.settle,
            lambda: self.record(ev.EngineStopped(state=end.state, reason=end.reason)),
        ):
            try:
                write()
            except NoSpace as error:
                log.error("the end is not fully on record: %s", error)

    def stop(self, reason: str) -> None:
        """Asks the run to end in good order; safe to call from a signal handler of the loop."""
        self.control.stop = reason
        self.control.pulse()

    def _announce(self) -> None:
        self._identify()
        actions = [*self.writer.recovered, *recovery.mend(self)]
        if actions:
            self.record(ev.Recovered(actions=tuple(actions)))

    def _identify(self) -> None:
        machine = self.machine
        engine = EngineRecord(
            pid=os.getpid(),
            host=platform.node(),
            started=now(),
            version=__version__,
            sandbox=machine.sandbox if machine else "",
            sandbox_warning=machine.sandbox_warning if machine else "",
            device=machine.device if machine else "",
        )
        self.record(ev.EngineStarted(engine=engine))

    async def _flow(self) -> None:
        if self.brief:
            await self._brief()
            return
        recovery.restore_wishes(self)
        if self.before.state not in {"paused", "pausing", "parked"}:
            self.set_state("starting", "the evaluator is warming up")
        self.clock.start()
        await self.waits.wait_out_parking()
        await self.waits.rest()
        await seeding.know_machine(self)
        self._identify()
        await seeding.plant(self)
        while True:
            try:
                await self.waits.rest()
                self.set_state("running")
                if getattr(self.operator, "passive", False):
                    await self._wait_for_submission()
                else:
                    await self._step()
            except NoSpace as error:
                await self.waits.for_room(error)

    async def _brief(self) -> None:
        """Takes the inbox, does the jobs and ends in the state that was found."""
        before = self.before.state
        self.take_commands()
        while self.control.jobs and self.control.stop is None:
            await self.do_jobs()
            self.take_commands()
        state: RunState = before if before in {"stopped", "finished", "paused"} else "stopped"
        raise Finish(state, self.control.stop or self.before.state_reason)

    # -- a step

    async def _step(self) -> None:
        step = self.busy_step
        if step is None:
            parent = self.supervisor.next_parent()
            number = self.state.session.step + 1
            self.record(ev.StepStarted(step=number, parent=parent))
        else:
            number, parent = step.number, step.parent
        bench = Bench(self, number, self.state.versions[parent])
        try:
            await self._vary(bench)
        finally:
            self.settle()

    async def _vary(self, bench: Bench) -> None:
        outcome: StepOutcomeName = "nothing"
        reason = ""
        over = False
        try:
            done = await self.operator.vary(bench)
            outcome, reason = done.outcome, done.reason
            over = outcome == "stopped"
            self._troubles = 0
        except StepEnded as ended:
            outcome, reason = ended.outcome, ended.reason
        except Interrupted:
            return  # the operator let it pass: the loop rests, then the step goes on
        except (NoSpace, Finish):
            raise
        except Exception as error:
            outcome, reason = "failed", self._operator_failed(bench, error)
        if self.control.stop is not None:
            raise Finish("stopped", self.control.stop)
        self.finish_step(outcome, reason)
        if over:
            raise Finish("finished", reason)
        if self._troubles >= int(self.state.session.settings.options.get("troubles", 3)):
            self._troubles = 0
            await self.waits.pause_for(
                f"the {self.operator.author} failed again and again: {reason}"
            )

    def _operator_failed(self, bench: Bench, error: Exception) -> str:
        self._troubles += 1
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self.trouble(
            f"{self.operator.author}, step {bench.step}",
            reason,
            "".join(traceback.format_exception(error)),
        )
        return redact(reason)

    def finish_step(self, outcome: StepOutcomeName, reason: str) -> None:
        """Ends the open step: what was being worked on is kept as an attempt."""
        step = self.busy_step
        if step is None:
            return
        self.settle()
        wish, self.control.end = self.control.end, None
        if wish is not None:
            outcome, reason = wish.outcome, wish.reason
        recovery.close_attempts(self, step.number, f"the step ended: {reason or outcome}")
        if outcome not in {"committed", "nothing"}:
            recovery.keep_working_candidate(
                self, step.number, f"not evaluated: {reason or outcome}"
            )
        if outcome == "nothing" and step.version is not None:
            outcome = "committed"
        self.record(
            ev.StepFinished.model_validate(
                {"outcome": outcome, "reason": reason, "version": step.version}
            )
        )

    async def _wait_for_submission(self) -> None:
        self.clock.hold("submission")
        try:
            while self.control.pause is None and self.control.stop is None:
                if self.control.jobs:
                    self.clock.release("submission")
                    await self.do_jobs()
                    return
                await self.control.changed()
        finally:
            self.clock.release("submission")

    # -- helpers that run beside the flow

    async def _beat(self) -> None:
        since_spent = 0.0
        while True:
            self.writer.heartbeat()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            since_spent += HEARTBEAT_SECONDS
            if since_spent >= SPENT_SECONDS and self.clock.pending > 1.0:
                since_spent = 0.0
                try:
                    self.settle()
                    if self.state.versions:
                        self.budget.warn()
                except NoSpace as error:
                    log.error("running time not written yet: %s", error)

    async def _watch_inbox(self) -> None:
        while True:
            await asyncio.sleep(INBOX_SECONDS)
            self.take_commands()

    def take_commands(self) -> None:
        """Carries out what lies in the inbox; what needs the evaluator is put in the queue."""
        try:
            for command in self.writer.pending_commands():
                if command.id not in self._in_hand:
                    self._take(command)
        except NoSpace as error:
            log.error("the inbox waits: %s", error)

    def _take(self, command: Command | BadCommand) -> None:
        effect = commands.take(self, command)
        if effect is None:
            self._in_hand.add(command.id)
        self.control.pulse()

    async def do_jobs(self) -> None:
        """Evaluates what the person handed in, one after the other."""
        while self.control.jobs and self.control.stop is None:
            command = self.control.jobs[0]
            try:
                await jobs.do(self, command)
            except Interrupted:
                return
            self.control.jobs.popleft()
            self._in_hand.discard(command.id)

    # -- shared with bench, gate and jobs

    def end_step(self, outcome: StepOutcomeName, reason: str) -> None:
        """Asks the open step to end at its next boundary, cutting off what runs."""
        self.control.end = End(outcome, reason)
        self.control.pulse()

    def next_attempt(self, step: int) -> int:
        """The number of the next attempt of a step."""
        for held, number in reversed(self.state.attempts):
            if held <= step:
                return number + 1 if held == step else 1
        return 1

    def find_attempt(self, identity: str) -> Attempt | None:
        """The first finished attempt at this candidate whose verdict judges it."""
        return self.measure.known(identity)

    def report(self, attempt: Attempt) -> EvaluationReport | None:
        """The whole report of a finished attempt."""
        if attempt.report is None:
            return None
        return EvaluationReport.model_validate_json(self.writer.get(attempt.report))
