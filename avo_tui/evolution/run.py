"""The context of a run: its record, state, control, clock and evaluator.

The other parts of the engine (workbench, commands, admission, watch, life) work on a `Run` and do
not depend on each other; `engine.py` connects them.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.base import now
from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceState
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import MachineQuestion
from avo_tui.domain.records import Attempt, Author, RunState, SessionRecord, Step, Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.run_settings import OperatorTraits
from avo_tui.domain.secrets import redact
from avo_tui.domain.state import SessionState
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.workers.evaluator import Evaluator
from avo_tui.evolution.clock import Clock
from avo_tui.evolution.control import Control
from avo_tui.operators.ports import OfModel, Operator
from avo_tui.store import SessionWriter

log = logging.getLogger(__name__)

TROUBLE_CHARACTERS = 2000
"""Number of characters of a message that the event itself keeps; the full text is an object."""

REST_SECONDS = 60.0
"""Seconds of waiting after which the evaluator is asked to free its memory."""

Listener = Callable[[ev.Event], None]


@dataclass(frozen=True)
class EngineMode:
    """How an engine was started."""

    only_inbox: bool = False
    """Only carries out the commands in the inbox, then ends."""
    unattended: bool = False
    """True if nobody is present who could fix a run that cannot begin; the run then ends."""
    restarts: int = 0
    """Number of times that the engine of this run was lost and restarted."""


class Run:
    """One running session, as shared by the parts of the engine."""

    def __init__(
        self,
        writer: SessionWriter,
        evaluator: Evaluator,
        operator: Operator,
        *,
        listeners: Sequence[Listener] = (),
        mode: EngineMode | None = None,
    ) -> None:
        self.writer = writer
        self.evaluator = evaluator
        self.operator = operator
        self.control = Control()
        self.clock = Clock()
        self.machine: MachineInfo | None = None
        """The machine that the evaluator measures on; None until the evaluator was asked."""
        self.mode = mode or EngineMode()
        self.devices: tuple[DeviceState, ...] = ()
        """The latest samples of the devices; empty where the evaluator cannot be asked."""
        self.audit_waits = ""
        """Which version is still to be measured again, why it was not, and when it will be."""
        self.pairs_outside: deque[float] = deque(maxlen=32)
        """Seconds of the pairs that were measured without the gate, newest last."""
        self.evaluator_seconds = 0.0
        """Seconds that the evaluator has worked, or has let somebody wait for a device."""
        self.before: SessionRecord = writer.state.session
        """The session's record as the previous engine left it."""
        self._listeners = tuple(listeners)

    # -- the record

    @property
    def state(self) -> SessionState:
        return self.writer.state

    def record(self, *events: ev.Event) -> None:
        """Write events to the journal as one transaction and notify the listeners.

        Raises DiskTrouble, and StoreError for an event that refers to something that does not
        exist.
        """
        for event in self.writer.record_all(events):
            self._tell(event)

    def show(self, progress: ev.EvaluationProgressed) -> None:
        """Show progress on open screens without recording it. Raises FolderLost."""
        self._tell(self.writer.show(progress))

    def _tell(self, event: ev.Event) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except OSError as error:
                self._listeners = tuple(x for x in self._listeners if x is not listener)
                self.stop(f"nobody reads the output any more: {error.strerror or error}")

    def set_state(self, state: RunState, reason: str = "") -> None:
        """Record a change of the run's state; does nothing if the state is unchanged."""
        session = self.state.session
        if session.state != state or session.state_reason != reason:
            self.record(ev.StateChanged(state=state, reason=reason))

    def trouble(self, where: str, message: str, detail: str = "") -> None:
        message = redact(message)
        log.warning("%s: %s", where, message)
        ref = self.writer.put(redact(detail)) if detail else None
        self.record(ev.TroubleNoted(where=where, message=message[:TROUBLE_CHARACTERS], ref=ref))

    def settle(self) -> None:
        seconds = self.clock.pending
        if seconds > 0:
            self.record(ev.Spent(spend=Spend(seconds=seconds)))
            self.clock.take()

    def stop(self, reason: str) -> None:
        """Ask the run to end in an orderly way; may be called from a signal handler of the event
        loop."""
        self.control.stop = reason
        self.control.pulse()

    async def idle(self, seconds: float = math.inf) -> None:
        """Wait until the person requests something, for at most `seconds`.

        After a while the evaluator, which is not needed meanwhile, is asked to free its memory.
        """
        if seconds > REST_SECONDS:
            if await self.control.changed(REST_SECONDS):
                return
            await self.evaluator.rest()
            seconds -= REST_SECONDS
        await self.control.changed(None if math.isinf(seconds) else seconds)

    # -- queries

    @property
    def author(self) -> Author:
        return self.operator.author

    @property
    def model(self) -> str:
        """The model, or the program in the seat, that makes the candidates; empty for none."""
        if isinstance(self.operator, OfModel):
            return self.operator.model_name
        occupant = self.state.session.occupant
        return "" if occupant is None else occupant.name

    @property
    def traits(self) -> OperatorTraits:
        return self.state.session.settings.operator_traits

    @property
    def open_step(self) -> Step | None:
        return self.state.current_step

    @property
    def conditions(self) -> str:
        """Key of the conditions of measurements made now; empty until the machine is known."""
        return self.machine.conditions if self.machine is not None else ""

    def reference(self) -> Version:
        """The best version on the head's line: the one that a gate compares with."""
        head = self.state.session.head
        assert head is not None
        return lineage.line_best(self.state.versions, head)

    def candidate(self, identity: str) -> Candidate:
        """Source of a candidate that was stored. Raises KeyError."""
        return Candidate.model_validate_json(self.writer.get(identity))

    def report(self, attempt: Attempt) -> EvaluationReport | None:
        return self.writer.report(attempt)

    def next_attempt(self, step: int) -> int:
        for held, number in reversed(self.state.attempts):
            if held <= step:
                return number + 1 if held == step else 1
        return 1

    def cancelled(
        self, candidate: str, why: str, *, harness_failed: bool = False
    ) -> EvaluationReport:
        """The report of an evaluation that was interrupted, or that the evaluator could not
        make."""
        return EvaluationReport(
            task=self.state.session.task.name,
            candidate=candidate,
            verdict=Verdict.HARNESS_ERROR if harness_failed else Verdict.CANCELLED,
            feedback=Feedback(summary=why),
            at=now(),
        )

    # -- the evaluator

    async def know_machine(self) -> None:
        """Ask the evaluator once which machine it measures on. Raises EvaluatorError,
        Interrupted."""
        if self.machine is None:
            work = self.evaluator.ask(self.state.session.task.name, MachineQuestion())
            self.machine = await self.control.race(work, self.control.interrupts_job)
