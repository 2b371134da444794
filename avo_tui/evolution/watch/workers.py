"""Tells the person which devices of a run are lost, disagree, are set aside, or back."""

from __future__ import annotations

from avo_tui.domain.workers import WorkerStatus, usable_text
from avo_tui.evolution.run import Run

_OUT = {"lost": "is lost", "disagrees": "disagrees", "set_aside": "is set aside"}


class WorkerWatch:
    """Compares the current state of the devices with their state at the previous call."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._before: dict[str, WorkerStatus] = {}

    def look(self) -> None:
        """Record each change as a problem for the person. Raises DiskTrouble."""
        workers = self._run.evaluator.workers()
        for worker in workers:
            before = self._before.get(worker.name)
            self._before[worker.name] = worker
            words = _change(before, worker)
            if words:
                message = f"{worker.name} {words}; {usable_text(workers)}"
                self._run.trouble("devices", message)


def _change(before: WorkerStatus | None, worker: WorkerStatus) -> str:
    """What happened to a device since the previous call, as text; empty if nothing did."""
    was_out = before is not None and before.state in _OUT
    if worker.state in _OUT:
        if before is not None and before.state == worker.state:
            return ""
        return f"{_OUT[worker.state]}: {worker.reason}"
    if before is None or worker.state == "starting":
        return ""
    if was_out:
        return "agrees again" if before is not None and before.state == "disagrees" else "is back"
    return "was lost for a moment, and is back" if worker.losses > before.losses else ""
