"""The devices that a run measures on, as the run's engine sees them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from avo_tui.domain.base import Moment, Value, now
from avo_tui.domain.progress import span_text

WorkerStateName = Literal["starting", "idle", "busy", "lost", "disagrees", "set_aside", "ended"]
"""`lost`: tried again by itself. `disagrees`: it measured the fleet's control candidate otherwise
than the other devices; it gets no work until it agrees again. `set_aside`: not used any more in
this run. `ended`: the run is over."""

USABLE: frozenset[WorkerStateName] = frozenset({"idle", "busy"})
"""States in which a device takes part in the run."""

CHARACTERS = 8
"""Characters of a candidate's identity in a text."""


class WorkerStatus(Value):
    """One device with the worker process that serves it."""

    name: str
    """Name of the device, such as `local:1` or `ssh://node7:0`; reports and attempts use it."""
    state: WorkerStateName
    reason: str = ""
    """Why it is lost, disagrees or is set aside."""
    since: Moment
    """When it came into this state; of one that is busy, since when it works on its present
    request, or waits for the device."""
    evaluations: int = 0
    """Number of requests answered since the engine was started."""
    losses: int = 0
    """How often its worker was lost."""
    device: str = ""
    """Model of the device, such as `NVIDIA H200`; empty before it was asked."""
    host: str = ""
    """Name of the machine that it is in; "" before it was asked."""
    joined: Moment | None = None
    """When this run of the engine first had it."""
    operation: str = ""
    """What it does while it is busy, such as `evaluate`; `control` is the fleet's own check that
    its devices agree."""
    candidate: str = ""
    """Identity of the candidate that it is busy with."""
    waits: bool = False
    """Whether its request waits for the device, which somebody else uses."""
    busy_seconds: float = 0.0
    """Time that it spent on requests, up to `since`, without waits for the device."""
    failures: int = 0
    """Requests that ended without an answer about the candidate: errors of the harness."""
    loss: str = ""
    """Why its worker was lost the last time."""
    lost_at: Moment | None = None
    """When that was."""
    controls: int = 0
    """How often it measured the control candidate."""
    control_ratio: float | None = None
    """The control candidate's aggregate as it measured it the last time; None without a score."""

    @property
    def usable(self) -> bool:
        return self.state in USABLE

    def busy_share(self, at: datetime) -> float | None:
        """Share of the time since it joined in which it was busy, 0 to 1; None where unknown."""
        if self.joined is None or at <= self.joined:
            return None
        works = self.state == "busy" and not self.waits
        present = max(0.0, (at - self.since).total_seconds()) if works else 0.0
        return min(1.0, (self.busy_seconds + present) / (at - self.joined).total_seconds())

    def per_hour(self, at: datetime) -> float | None:
        """Requests answered an hour, since it joined; None where that is not known."""
        if self.joined is None or at <= self.joined or not self.evaluations:
            return None
        return self.evaluations / ((at - self.joined).total_seconds() / 3600)


class QueueSeen(Value):
    """What waits in a folder for workers that come and go."""

    waiting: int = 0
    """Requests without an answer."""
    working: int = 0
    """Workers that are there now."""
    last_worker: Moment | None = None
    """When the latest worker was last heard of; None if none has ever come."""
    refused: str = ""
    """Why the latest worker took no request; empty if it did."""


class WorkersSeen(Value):
    at: Moment
    workers: tuple[WorkerStatus, ...] = ()
    queue: QueueSeen | None = None
    """Only of an evaluator that waits at a folder."""

    def ended(self) -> WorkersSeen:
        """The same after the end of the engine that told it: nothing is busy any more."""
        over = {"state": "ended", "operation": "", "candidate": "", "waits": False}
        here = {*USABLE, "starting"}
        return self.replaced(
            workers=tuple(w.replaced(**over) if w.state in here else w for w in self.workers)
        )


def doing_text(worker: WorkerStatus, at: datetime) -> str:
    """What a device does, in words: `evaluate 1a2b3c4d for 12 s`, `idle for 3 min`."""
    span = span_text(max(0.0, (at - worker.since).total_seconds()))
    if worker.state == "busy":
        what = " ".join(filter(None, (worker.operation, worker.candidate[:CHARACTERS])))
        return f"{'waits for the device: ' if worker.waits else ''}{what or 'busy'} for {span}"
    if worker.state == "ended":
        return "ended"
    if worker.state in {"idle", "starting"}:
        return f"{worker.state} for {span}"
    word = "set aside" if worker.state == "set_aside" else worker.state
    return f"{word} for {span}: {worker.reason}"


def figures_text(worker: WorkerStatus, at: datetime) -> str:
    """What a device has done, in words: answers, rate, how busy, failures, losses."""
    parts = [f"{worker.evaluations} answered"]
    rate, share = worker.per_hour(at), worker.busy_share(at)
    if rate is not None:
        parts.append(f"{rate:.0f} an hour")
    if share is not None:
        parts.append(f"busy {share:.0%} of the time")
    if worker.failures:
        parts.append(f"{worker.failures} failed")
    if worker.losses:
        parts.append(f"lost {worker.losses} time{'s' if worker.losses > 1 else ''}")
    if worker.control_ratio is not None:
        parts.append(f"control at {worker.control_ratio:.3f}")
    return ", ".join(parts)


def loss_text(worker: WorkerStatus, at: datetime) -> str:
    """The last loss of a device that is back, in words; "" where there is nothing to add."""
    if worker.lost_at is None or worker.state == "lost":
        return ""
    ago = span_text(max(0.0, (at - worker.lost_at).total_seconds()))
    return f"last lost {ago} ago: {worker.loss}"


def queue_text(queue: QueueSeen, at: datetime | None = None) -> str:
    """What waits and for whom, in words: `3 requests wait; last worker 12 min ago`."""
    count = queue.waiting
    parts = [f"{count or 'no'} request{'' if count == 1 else 's'} wait{'s' if count == 1 else ''}"]
    if queue.working:
        parts.append(f"{queue.working} worker{'' if queue.working == 1 else 's'} at work")
    elif queue.last_worker is None:
        parts.append("no worker yet")
    else:
        silent = max(0.0, ((at or now()) - queue.last_worker).total_seconds())
        parts.append(f"last worker {span_text(silent)} ago")
    if queue.refused and count:
        parts.append(f"it takes none: {queue.refused}")
    return "; ".join(parts)


def usable_text(workers: Sequence[WorkerStatus]) -> str:
    """How many can be used, in words: `3 of 4 devices can be used`."""
    usable = sum(worker.usable for worker in workers)
    noun = "device" if len(workers) == 1 else "devices"
    return f"{usable} of {len(workers)} {noun} can be used"
