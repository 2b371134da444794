"""Tells the person which devices of a run are lost, set aside, or back."""

from __future__ import annotations

from avo_tui.domain.workers import WorkerStatus
from avo_tui.evaluation.ports import Parallel
from avo_tui.evolution.run import Run

_OUT = {"lost", "set_aside"}


class WorkerWatch:
    """Compares the devices with how they were when it looked last."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._before: dict[str, WorkerStatus] = {}

    def look(self) -> None:
        """Records what changed as trouble. Raises DiskTrouble."""
        evaluator = self._run.evaluator
        if not isinstance(evaluator, Parallel):
            return
        workers = evaluator.workers()
        usable = sum(worker.state in {"idle", "busy"} for worker in workers)
        for worker in workers:
            before = self._before.get(worker.name)
            self._before[worker.name] = worker
            words = _change(before, worker)
            if words:
                left = f"{usable} of {len(workers)} devices can be used"
                self._run.trouble("devices", f"{worker.name} {words}; {left}")


def _change(before: WorkerStatus | None, worker: WorkerStatus) -> str:
    """What happened to a device since it was looked at, in words; "" where nothing did."""
    was_out = before is not None and before.state in _OUT
    if worker.state in _OUT:
        if before is not None and before.state == worker.state:
            return ""
        what = "is set aside" if worker.state == "set_aside" else "is lost"
        return f"{what}: {worker.reason}"
    if before is None or worker.state == "starting":
        return ""
    if was_out:
        return "is back"
    return "was lost for a moment, and is back" if worker.losses > before.losses else ""
