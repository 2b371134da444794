"""What runs inside a Dask worker: one evaluation worker of ours, kept warm between requests.

The functions are sent by reference, so that avo-tui has to be installed where Dask runs them.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.workers.link import WorkerLink
from avo_tui.evaluation.workers.process import WorkerGoneError

IDLE_SECONDS = 600.0
"""Seconds without a request after which the evaluation worker ends: whoever asked may be gone."""


class _Held:
    """The evaluation worker that this Dask worker's process started, and its open requests."""

    def __init__(self, options: tuple[str, ...]) -> None:
        self.link = WorkerLink((sys.executable, "-m", "avo_tui.evaluation", "--serve", *options))
        self.running: dict[str, asyncio.Task[Any]] = {}
        self.idle: asyncio.TimerHandle | None = None

    def wait_for_more(self) -> None:
        """Ends the worker when no request has come for a long time."""
        if self.idle is not None:
            self.idle.cancel()
        loop = asyncio.get_running_loop()
        self.idle = loop.call_later(IDLE_SECONDS, lambda: loop.create_task(self.link.rest()))


_held: dict[tuple[str, ...], _Held] = {}


async def hello(options: tuple[str, ...]) -> dict[str, Any]:
    """What the evaluation worker says about itself; it is started if there is none."""
    held = _held.setdefault(options, _Held(options))
    worker = await held.link.ready()
    held.wait_for_more()
    return {**await worker.ready, "pid": worker.process.pid}


async def answer(
    options: tuple[str, ...], pid: int, number: str, body: dict[str, object], topic: str
) -> Any:
    """The answer to one request. Raises WorkerGoneError if the worker `pid` has ended."""
    from distributed import get_worker

    held = _held.get(options)
    if held is None or held.link.pid != pid:
        raise WorkerGoneError("the evaluation worker was started anew")
    dask = get_worker()

    def see(progress: EvaluationProgress) -> None:
        dask.log_event(topic, {"number": number, "progress": progress.model_dump(mode="json")})

    task = held.running[number] = asyncio.ensure_future(held.link.request(body, see))
    try:
        return await task
    finally:
        held.running.pop(number, None)
        held.wait_for_more()


async def cancel(options: tuple[str, ...], number: str) -> None:
    """Ends a request, and returns when its candidate is dead."""
    held = _held.get(options)
    task = held.running.get(number) if held is not None else None
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


async def sense(options: tuple[str, ...]) -> list[dict[str, Any]]:
    """Temperature, clocks and load of the devices here; [] if no evaluation worker runs."""
    held = _held.get(options)
    states = await held.link.sense() if held is not None else ()
    return [state.model_dump(mode="json") for state in states]
