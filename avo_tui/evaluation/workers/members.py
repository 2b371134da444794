"""The state and the counts of a device, and a device as a member of a fleet."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.workers import USABLE, WorkerStateName, WorkerStatus
from avo_tui.evaluation.workers.ports import Device


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
        """Changes the state."""
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
        """Its worker is lost."""
        self.losses += 1
        self.loss, self.lost_at = reason, now()
        self.become("lost", reason)

    def go_on_from(self, earlier: Standing) -> None:
        """Take over the counts of a device of this name that was lost and is there again."""
        self.joined, self.answered = earlier.joined, earlier.answered
        self.failures = earlier.failures
        self.busy_seconds, self.controls = earlier.busy_seconds, earlier.controls
        self.losses, self.loss, self.lost_at = earlier.losses, earlier.loss, earlier.lost_at

    def status(self) -> WorkerStatus:
        """What is shown and recorded of the device."""
        return WorkerStatus(
            name=self.name, state=self.state, reason=self.reason, since=self.since,
            joined=self.joined, host=self.host, evaluations=self.answered,
            failures=self.failures, losses=self.losses, loss=self.loss, lost_at=self.lost_at,
            operation=self.operation, candidate=self.candidate, waits=self.waits,
            busy_seconds=self.busy_seconds, controls=self.controls,
            control_ratio=self.control_ratio, device=self.model,
        )  # fmt: skip


class Member(Standing):
    """A device in a fleet."""

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
