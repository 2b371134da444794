"""The devices that a run measures on, as their fleet sees them."""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.base import Moment, Value

WorkerStateName = Literal["starting", "idle", "busy", "lost", "set_aside"]
"""`lost` is tried again by itself; `set_aside` is not used any more in this run."""


class WorkerStatus(Value):
    """One device with the worker process that serves it."""

    name: str
    """Such as `local:1` or `ssh://node7:0`; reports and attempts name it so."""
    state: WorkerStateName
    reason: str = ""
    """Why it is lost or set aside."""
    since: Moment
    """When it came into this state."""
    evaluations: int = 0
    """Requests that it has answered in this run of the engine."""
    losses: int = 0
    """How often its worker was lost."""
    device: str = ""
    """Its model, such as `NVIDIA H200`; "" before it was asked."""
