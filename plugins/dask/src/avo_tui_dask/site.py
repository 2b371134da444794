"""`dask://SCHEDULER:PORT[?resource=device]`: each worker of a Dask cluster is a device.

`dask:///FOLDER/scheduler.json` reads the address in the file that `dask scheduler --scheduler-file`
writes, again for each connection, so that a scheduler may come back at another address.

A Dask worker has the GPU or the cores that its own environment leaves it, such as
`CUDA_VISIBLE_DEVICES` and the affinity that Slurm or dask-cuda set; start one for each device.
Requests take one unit of a resource, so that two sessions on a cluster do not share a device.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, unquote

from avo_tui.domain.device import DeviceState
from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.link import CANCEL_SECONDS, WorkerGoneError
from avo_tui.evaluation.workers.ports import (
    Device,
    Joined,
    Left,
    Site,
    SiteDescriptor,
    SiteRequest,
    only,
)
from avo_tui_dask import side

if TYPE_CHECKING:
    from distributed import Client

SENSE_SECONDS = 30.0


class DaskLink:
    """Sends requests through one connection; of no use any more once its worker was lost."""

    def __init__(
        self,
        client: Client,
        name: str,
        address: str,
        options: tuple[str, ...],
        resource: str | None,
        topic: str,
        sinks: dict[str, ProgressSink],
    ) -> None:
        """`address` is the Dask worker's. `sinks`: number of a request → receiver of its progress,
        which the worker sends under `topic`."""
        self.address = address
        self._client = client
        self._name = name
        self._options = options
        self._resources = {resource: 1} if resource else None
        self._topic = topic
        self._sinks = sinks
        self._who: dict[str, Any] | None = None
        self._lost = asyncio.Event()
        self._why_lost = ""

    def lose(self, reason: str) -> None:
        """The Dask worker, or the way to it, is gone: what was asked ends with WorkerGoneError."""
        self._why_lost = reason
        self._lost.set()

    async def hello(self) -> dict[str, Any]:
        """See `Link.hello`. Raises EvaluatorError where the Dask worker is not there."""
        if self._lost.is_set():
            raise EvaluatorError(self._why_lost)
        if self._who is None:
            try:
                self._who = await self._submit(self._number(), side.hello, self._options)
            except WorkerGoneError as error:
                raise EvaluatorError(str(error)) from error
        return self._who

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        who = await self.hello()
        number = self._number()
        if progress is not None:
            self._sinks[number] = progress
        try:
            return await self._submit(
                number, side.answer, self._options, who["life"], number, body, self._topic
            )
        except WorkerGoneError:
            self._who = None
            raise
        finally:
            self._sinks.pop(number, None)

    def _number(self) -> str:
        """A name for a request that no other has, in any session on the cluster."""
        return f"avo-{self._name}-{secrets.token_hex(16)}"

    async def _submit(self, number: str, work: Any, *arguments: object) -> Any:
        """Runs a function in the Dask worker, under the key `number`, and returns its result.

        Raises EvaluatorError of the function, and WorkerGoneError for all that goes wrong in Dask.
        """
        if self._lost.is_set():
            raise WorkerGoneError(self._why_lost)
        try:
            future: Any = self._client.submit(
                work, *arguments, workers=[self.address], allow_other_workers=False,
                resources=self._resources, pure=False, retries=0, key=number,
            )  # fmt: skip
        except Exception as error:  # the connection was closed a moment ago
            raise WorkerGoneError(f"Dask: {type(error).__name__}: {error}") from error
        result = asyncio.ensure_future(future.result())
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({result, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise WorkerGoneError(self._why_lost)
            return _plain(result)
        except asyncio.CancelledError:
            if not self._lost.is_set():
                await self._cancel(number)
            raise
        finally:
            for task in (result, lost):
                task.cancel()
            await asyncio.gather(result, lost, return_exceptions=True)
            with contextlib.suppress(Exception):  # the connection may be closed by now
                await future.cancel()

    async def _cancel(self, number: str) -> None:
        """Ends a request in the Dask worker, without waiting in the worker's queue.

        Where that fails, the worker ends it when the scheduler tells it that nobody waits.
        """
        cancelling = asyncio.ensure_future(
            self._client.run(side.cancel, self._options, number, workers=[self.address])
        )
        lost = asyncio.ensure_future(self._lost.wait())
        await asyncio.wait(
            {cancelling, lost}, timeout=2 * CANCEL_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        for task in (cancelling, lost):
            task.cancel()
        await asyncio.gather(cancelling, lost, return_exceptions=True)

    async def sense(self) -> tuple[DeviceState, ...]:
        """See `Device.sense`; does not wait in the queue of the Dask worker."""
        if self._lost.is_set() or self._who is None:
            return ()
        try:
            async with asyncio.timeout(SENSE_SECONDS):
                answers = await self._client.run(side.sense, self._options, workers=[self.address])
            return tuple(DeviceState.model_validate(state) for state in answers[self.address])
        except Exception as error:  # the connection or the worker was lost meanwhile
            raise WorkerGoneError(f"Dask: {type(error).__name__}: {error}") from error

    async def rest(self) -> None:
        """See `Link.rest`: the worker ends by itself when it has nothing to do for long."""

    async def close(self) -> None:
        """See `Link.close`: likewise, since another session may be served by it."""


def _plain(result: asyncio.Future[Any]) -> Any:
    """The result of a Dask future; an error of Dask itself counts as the loss of the worker."""
    if result.cancelled():  # Dask cancels what it waits for when it loses its scheduler
        raise WorkerGoneError("Dask gave the request up; it may have lost its scheduler")
    try:
        return result.result()
    except (WorkerGoneError, EvaluatorError):
        raise
    except Exception as error:
        raise WorkerGoneError(f"Dask: {type(error).__name__}: {error}") from error


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
    """The workers of a Dask cluster as devices, across the loss and restart of its scheduler.

    dask.distributed's client connects again by itself, but for a while only, and it drops what it
    was waiting for. So each connection is used until it breaks: then every device is lost, and
    devices join anew with the workers that the next connection shows.
    """

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
            joined(Device(name, link, self._task))
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
    with contextlib.suppress(Exception):  # a scheduler that is gone says no farewell
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close(timeout=CLOSE_SECONDS / 2)


def make_site(url: SplitResult, wanted: SiteRequest) -> Site:
    only(url, wanted.query, {"resource"})
    scheduler = _scheduler(url)
    if wanted.devices != ("",):
        raise ValueError(
            "--devices means nothing to dask: each of its workers is a device; start as many as "
            "you want, each with its own CUDA_VISIBLE_DEVICES"
        )
    if missing := what_is_missing():
        raise ValueError(f"--evaluator {url.geturl()}: {missing}")
    return DaskSite(scheduler, wanted.task, wanted.worker_options, wanted.query.get("resource"))


def what_is_missing() -> str:
    """What must be installed before a cluster can be used; "" where nothing is missing."""
    if find_spec("distributed") is None:
        return "dask is not installed: pip install distributed"
    return ""


def _scheduler(url: SplitResult) -> Scheduler:
    if not url.netloc and url.path.startswith("/"):
        return Scheduler(file=Path(unquote(url.path)))
    if not url.hostname or not url.port or url.path.strip("/"):
        raise ValueError(
            f"--evaluator {url.geturl()}: name the scheduler with its port, such as "
            "dask://node1:8786, or its file with the whole path, such as "
            "dask:///home/me/scheduler.json"
        )
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return Scheduler(address=f"tcp://{host}:{url.port}")


class Scheduler:
    """A Dask scheduler that somebody else started: at an address, or at the one in a file."""

    def __init__(self, *, address: str = "", file: Path | None = None) -> None:
        self._address = address
        self._file = file

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        return self._address or f"the address in {self._file}"

    async def connect(self, seconds: float) -> Client:
        """A new connection. Raises EvaluatorError where there is none within `seconds`."""
        from distributed import Client

        address = self._address or self._address_in_file()
        client = Client(address, asynchronous=True, timeout=seconds, set_as_default=False)
        try:
            await client
        except (OSError, ValueError) as error:  # ValueError: no address of Dask
            with contextlib.suppress(Exception):  # a connection that was never whole
                await client.close(timeout=1)
            raise EvaluatorError(f"there is no Dask scheduler at {address}: {error}") from error
        return client

    def _address_in_file(self) -> str:
        assert self._file is not None
        try:
            address = json.loads(self._file.read_text())["address"]
        except OSError as error:
            raise EvaluatorError(
                f"the scheduler's file {self._file} cannot be read: {error.strerror}; write it "
                "with dask scheduler --scheduler-file"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluatorError(
                f"{self._file} names no address; dask scheduler --scheduler-file writes such files"
            ) from error
        return str(address)

    async def tend(self, workers: Collection[str]) -> bool:
        """See `SchedulerSource.tend`: whoever started the cluster starts its workers."""
        return False

    async def close(self) -> None:
        """Does nothing: whoever started the scheduler ends it."""


DESCRIPTOR = SiteDescriptor("dask", make_site, what_is_missing)
