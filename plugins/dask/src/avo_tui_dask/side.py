"""What runs inside a Dask worker: one evaluation worker of ours, kept warm between requests.

The functions are sent by reference, so that avo-tui has to be installed where Dask runs them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Any

from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.workers.link import WorkerGoneError, worker_here

if TYPE_CHECKING:
    from distributed import Worker

log = logging.getLogger(__name__)

WANTED_SECONDS = 1.0
"""Seconds between two looks whether anybody still waits for a request."""
IDLE_SECONDS = 600.0
"""Seconds without a request after which the evaluation worker ends: whoever asked may be gone."""


class _Held:
    """The evaluation worker that this Dask worker's process started, and its open requests."""

    def __init__(self, options: tuple[str, ...]) -> None:
        self.link = worker_here(options)
        self.life = ""
        """A random name of the evaluation worker that runs now; another one has another."""
        self.pid: int | None = None
        self.running: dict[str, asyncio.Task[Any]] = {}
        self.idle: asyncio.TimerHandle | None = None

    async def ready(self) -> dict[str, Any]:
        """What the evaluation worker says about itself; it is started if there is none."""
        worker = await self.link.ready()
        if self.pid != worker.process.pid:
            self.pid, self.life = worker.process.pid, secrets.token_hex(8)
        return {**await worker.ready, "life": self.life}

    def wait_for_more(self) -> None:
        """Ends the worker when no request has come for a long time."""
        if self.idle is not None:
            self.idle.cancel()
        loop = asyncio.get_running_loop()
        self.idle = loop.call_later(IDLE_SECONDS, lambda: loop.create_task(self.link.rest()))


_held: dict[tuple[str, ...], _Held] = {}


async def hello(options: tuple[str, ...]) -> dict[str, Any]:
    """What the evaluation worker says about itself, and its `life`."""
    held = _held.setdefault(options, _Held(options))
    who = await held.ready()
    held.wait_for_more()
    return who


async def answer(
    options: tuple[str, ...], life: str, number: str, body: dict[str, object], topic: str
) -> Any:
    """The answer to one request; `number` is its key in Dask.

    Raises WorkerGoneError if the evaluation worker called `life` has ended, and if nobody waits for
    the answer any more: whoever asked was killed, or lost the scheduler.
    """
    from distributed import get_worker

    held = _held.get(options)
    if held is None or held.life != life or held.link.pid != held.pid:
        raise WorkerGoneError("the evaluation worker was started anew")
    dask = get_worker()

    def see(progress: EvaluationProgress) -> None:
        dask.log_event(topic, {"number": number, "progress": progress.model_dump(mode="json")})

    task = held.running[number] = asyncio.ensure_future(held.link.request(body, see))
    try:
        await _while_wanted(task, dask, number)
        return await task
    finally:
        held.running.pop(number, None)
        held.wait_for_more()


async def _while_wanted(task: asyncio.Task[Any], dask: Worker, key: str) -> None:
    """Waits until the task is done, or ends it once the scheduler has released its key."""
    try:
        while not (await asyncio.wait([task], timeout=WANTED_SECONDS))[0]:
            state = dask.state.tasks.get(key)
            if state is None or state.state == "cancelled":
                log.warning("nobody waits for the answer to %s any more; it is ended", key)
                raise WorkerGoneError("nobody waits for the answer any more")
    finally:
        if not task.done():
            task.cancel()  # the candidate is killed
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])


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
