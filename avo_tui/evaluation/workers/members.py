"""A device as a member of a fleet: its state, its counts, its temperature, clocks and load.

This machine's sensors are read here, those of other machines over the lines to their workers.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

from avo_tui.devices import OwnSensors
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceState
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.workers import USABLE, WorkerStateName, WorkerStatus
from avo_tui.evaluation.workers.ports import Device

_COUNTS = (
    "joined", "answered", "failures", "busy_seconds", "controls", "losses", "loss", "lost_at",
)  # fmt: skip


@dataclass
class Standing:
    """The state of one device and its counts. The fields are those of `WorkerStatus`."""

    name: str
    host: str = ""
    state: WorkerStateName = "starting"
    reason: str = ""
    since: datetime = field(default_factory=now)
    joined: datetime = field(default_factory=now)
    model: str = ""
    answered: int = 0
    failures: int = 0
    busy_seconds: float = 0.0
    operation: str = ""
    candidate: str = ""
    waits: bool = False
    losses: int = 0
    loss: str = ""
    lost_at: datetime | None = None
    controls: int = 0
    control_ratio: float | None = None

    @property
    def usable(self) -> bool:
        """Whether it takes part in the run."""
        return self.state in USABLE

    def become(self, state: WorkerStateName, reason: str = "") -> None:
        self._count()
        self.state, self.reason, self.waits = state, reason, False
        self.operation = self.candidate = ""

    def _count(self) -> None:
        """Adds the time since the last change, if it was busy; what follows counts from now."""
        if self.state == "busy" and not self.waits:
            self.busy_seconds += max(0.0, (now() - self.since).total_seconds())
        self.since = now()

    def hear(self, progress: EvaluationProgress) -> None:
        """Its request gets on, or waits for the device, which somebody else uses."""
        waits = progress.stage == "waiting" and progress.state != "finished"
        if self.state == "busy" and waits != self.waits:
            self._count()
            self.waits = waits

    def work_on(self, body: dict[str, object], operation: str = "") -> None:
        """Notes that it serves a request; `operation` is given if it differs from the request's."""
        self.become("busy")
        self.operation = operation or str(body.get("op", ""))
        files = body.get("files")
        if isinstance(files, dict):
            self.candidate = Candidate(files=files).id

    def lose(self, reason: str) -> None:
        self.losses += 1
        self.loss, self.lost_at = reason, now()
        self.become("lost", reason)

    def go_on_from(self, earlier: Standing) -> None:
        """Take over the counts of a device of this name that was lost and is there again."""
        for name in _COUNTS:
            setattr(self, name, getattr(earlier, name))

    def status(self) -> WorkerStatus:
        told = {field.name: getattr(self, field.name) for field in fields(Standing)}
        return WorkerStatus(device=told.pop("model"), evaluations=told.pop("answered"), **told)


class Member(Standing):
    def __init__(self, device: Device) -> None:
        super().__init__(device.name)
        self.device = device
        self.machine: MachineInfo | None = None
        self.left = False
        """Whether its site no longer has it; a device of its name may join in its place."""

    def is_ready(self, machine: MachineInfo) -> None:
        """Whether its worker runs and has described the device."""
        self.machine, self.model, self.host = machine, machine.device, self.device.host


def difference(mine: MachineInfo, theirs: MachineInfo) -> str:
    """Why scores of a machine are not comparable with those of the rest."""
    pairs = (
        ("device", mine.device, theirs.device),
        ("compiler", mine.compiler, theirs.compiler),
        ("architecture", mine.architecture, theirs.architecture),
    )
    for what, one, other in pairs:
        if one != other:
            return f"its {what} is {one}, that of the others is {other}"
    return "its driver, compiler options or harness differ from those of the others"


log = logging.getLogger(__name__)

FAR_SECONDS = 6.0
"""Seconds between two questions to a device of another machine."""


class FleetSensing:
    """Collects samples. A device that does not answer is left out until it does."""

    def __init__(self) -> None:
        self._own = OwnSensors()
        self._questions: dict[str, asyncio.Task[tuple[DeviceState, ...]]] = {}
        """Device → the question to it that is not answered yet. It is never cancelled: an answer
        that comes late is used late."""
        self._asked: dict[str, float] = {}

    async def sample(self, devices: Sequence[Device]) -> tuple[DeviceState, ...]:
        """One sample of each device that has a new one. Raises OSError for this machine's own."""
        here = platform.node()
        near = [device for device in devices if device.host == here]
        far = [device for device in devices if device.host not in {"", here}]
        states = list(self._answers())
        moment = asyncio.get_running_loop().time()
        for device in far:
            asked = self._asked.get(device.name)
            due = asked is None or moment - asked >= FAR_SECONDS
            if due and device.name not in self._questions:
                self._asked[device.name] = moment
                self._questions[device.name] = asyncio.create_task(device.sense())
        if near:
            states += await asyncio.to_thread(self._own.sample)
        # every worker of a host reports that host's processor
        return tuple({(s.host, s.name, s.index): s for s in states}.values())

    def _answers(self) -> list[DeviceState]:
        states: list[DeviceState] = []
        for name in [name for name, task in self._questions.items() if task.done()]:
            task = self._questions.pop(name)
            if task.cancelled() or task.exception() is not None:
                log.debug("%s does not say how it is", name)
            else:
                states += task.result()
        return states

    async def close(self) -> None:
        for task in self._questions.values():
            task.cancel()
        await asyncio.gather(*self._questions.values(), return_exceptions=True)
        self._questions.clear()
