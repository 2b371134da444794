"""The workers of a Dask cluster as devices, across the loss and the restart of its scheduler.

dask.distributed's client connects again by itself, but for a while only, and it drops what it was
waiting for. So each connection is used until it breaks: then every device is lost, and devices join
anew with the workers that the next connection shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.dask_link import DaskLink
from avo_tui.evaluation.workers.machine import WorkerDevice
from avo_tui.evaluation.workers.ports import Joined, Left

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Seconds between two queries of the cluster's list of workers, or attempts to connect again."""
BREAK_SECONDS = 0.1
"""Seconds between two looks at the state of the connection while the scheduler is asked."""
CONNECT_SECONDS = 30.0
"""How long the first connection may take."""
RECONNECT_SECONDS = 10.0
"""How long each later one may take; then it is tried anew, with the file's address of that time."""
SILENT_SECONDS = 30.0
"""A scheduler that does not answer for so long counts as lost, with all its workers."""
CLOSE_SECONDS = 10.0


class SchedulerSource(Protocol):
    """Where a Dask scheduler is, and what it takes to reach it."""

    @property
    def name(self) -> str:
        """Where it is, for messages."""

    async def connect(self, seconds: float) -> Client:
        """A new connection. Raises EvaluatorError where there is none within `seconds`."""

    async def tend(self, workers: Collection[str]) -> bool:
        """Called after each look with the names of the workers that there are.

        Returns whether more will come; raises EvaluatorError where none ever will.
        """

    async def close(self) -> None:
        """Ends the cluster, if it was started for this run."""


class DaskSite:
    """The workers of a Dask cluster, as they come and go."""

    def __init__(
        self, scheduler: SchedulerSource, task: str, options: tuple[str, ...], resource: str | None
    ) -> None:
        """`options`: arguments of each evaluation worker. `resource`: name of the resource of which
        a request takes one unit; None asks for `device` where a worker declares it."""
        self.links: dict[str, DaskLink] = {}
        """Name of a device → the line to its worker."""
        self._scheduler = scheduler
        self._task = task
        self._options = options
        self._resource = resource
        self._topic = f"avo-{secrets.token_hex(8)}"
        self._sinks: dict[str, ProgressSink] = {}
        """Number of a request → receiver of its progress."""
        self._client: Client | None = None
        self._identity = ""
        """The scheduler's own name for itself, which a restarted one does not have."""
        self._doubled: set[str] = set()
        """Names of workers that were refused since another device has them."""
        self._watch: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, joined: Joined, left: Left) -> None:
        try:
            await self._begin(joined, left)
        except EvaluatorError:
            await self.close()  # it may be opened again
            raise
        self._watch = asyncio.create_task(self._look_on(joined, left))

    async def _begin(self, joined: Joined, left: Left) -> None:
        """Connects and waits for the first worker where one will come."""
        await self._connect(CONNECT_SECONDS)
        await self._look(joined, left)
        while await self._scheduler.tend(self._workers()) and not self.links:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look(joined, left)
        if not self.links:
            raise EvaluatorError(f"the Dask cluster at {self._scheduler.name} has no workers yet")

    async def _connect(self, seconds: float) -> None:
        client = await self._scheduler.connect(seconds)
        client.subscribe_topic(self._topic, self._see)
        self._client, self._identity = client, ""

    async def _look_on(self, joined: Joined, left: Left) -> None:
        """Follows the cluster until it is cancelled; nothing that goes wrong ends it."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if self._client is None:
                    await self._connect(RECONNECT_SECONDS)
                    log.warning("the Dask scheduler at %s is back", self._scheduler.name)
                await self._look(joined, left)
                await self._scheduler.tend(self._workers())
            except EvaluatorError as error:
                self._lose_all(left, str(error))
            except Exception as error:  # whatever Dask raises, the next connection may be better
                log.debug("a look at the Dask cluster failed", exc_info=True)
                self._lose_all(left, f"Dask: {type(error).__name__}: {error}")

    async def _look(self, joined: Joined, left: Left) -> None:
        """Compares the devices with the workers that the scheduler has now.

        Raises EvaluatorError where the connection is broken or leads to another scheduler.
        """
        identity = await self._ask_scheduler()
        if self._identity not in ("", identity["id"]):
            raise EvaluatorError("the Dask scheduler was restarted")
        self._identity = identity["id"]
        now = {f"dask:{w['name']}": a for a, w in identity["workers"].items()}
        for name in [n for n, link in self.links.items() if now.get(n) != link.address]:
            self._lose(name, left, "its Dask worker is gone")
        for name in [n for n in now if n not in self.links]:
            units = identity["workers"][now[name]].get("resources") or {}
            self._join(name, now[name], "device" if "device" in units else None, joined)

    def _join(self, name: str, address: str, resource: str | None, joined: Joined) -> None:
        assert self._client is not None
        link = DaskLink(
            self._client, name, address, self._options, self._resource or resource,
            self._topic, self._sinks,
        )  # fmt: skip
        try:
            joined(WorkerDevice(name, link, self._task))
        except EvaluatorError as error:  # another cluster of this run has a worker of that name
            if self._watch is None:
                raise
            if name not in self._doubled:
                log.warning("%s", error)
            self._doubled.add(name)
        else:
            self.links[name] = link

    def _workers(self) -> list[str]:
        return [name.removeprefix("dask:") for name in self.links]

    async def _ask_scheduler(self) -> Mapping[str, Any]:
        """What the scheduler says about itself and its workers. Raises EvaluatorError."""
        client = self._client
        assert client is not None
        scheduler: Any = client.scheduler
        if client.status != "running" or scheduler is None:
            raise EvaluatorError("the connection to the Dask scheduler broke")
        asking = asyncio.ensure_future(scheduler.identity(n_workers=-1))
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                while not asking.done():
                    await asyncio.wait([asking], timeout=BREAK_SECONDS)
                    if client.status != "running":
                        raise EvaluatorError("the connection to the Dask scheduler broke")
            answer: Mapping[str, Any] = asking.result()
        except TimeoutError:
            raise EvaluatorError(
                f"the Dask scheduler has not answered for {SILENT_SECONDS:.0f} s"
            ) from None
        except OSError as error:
            raise EvaluatorError(f"the Dask scheduler does not answer: {error}") from error
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        return answer

    def _lose(self, name: str, left: Left, reason: str) -> None:
        self.links.pop(name).lose(reason)
        left(name, reason)

    def _lose_all(self, left: Left, reason: str) -> None:
        """Gives up the connection and with it every device."""
        client, self._client = self._client, None
        if client is None:  # no connection yet
            log.debug("%s", reason)
            return
        log.warning("lost the Dask scheduler at %s: %s", self._scheduler.name, reason)
        for name in list(self.links):
            self._lose(name, left, reason)
        task = asyncio.create_task(_end(client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _see(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, message = event
        sink = self._sinks.get(message["number"])
        if sink is not None:
            sink(EvaluationProgress.model_validate(message["progress"]))

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        client, self._client, self._watch = self._client, None, None
        self.links.clear()
        if client is not None:
            await _end(client)
        await asyncio.gather(*self._closing)
        await self._scheduler.close()


async def _end(client: Client) -> None:
    """Closes a connection, whatever state it is in."""
    with contextlib.suppress(Exception):  # a scheduler that is gone says no farewell
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close(timeout=CLOSE_SECONDS / 2)
