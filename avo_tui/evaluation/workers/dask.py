"""`dask://SCHEDULER:PORT[?resource=device]`: each worker of a Dask cluster is a device.

A Dask worker has the GPU or the cores that its own environment leaves it, such as
`CUDA_VISIBLE_DEVICES` and the affinity that Slurm or dask-cuda set; start one for each device.
Requests take one unit of a resource, so that two sessions on a cluster do not share a device.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from avo_tui.domain.device import DeviceState
from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers import dask_side
from avo_tui.evaluation.workers.machine import WorkerDevice
from avo_tui.evaluation.workers.ports import Joined, Left, Site
from avo_tui.evaluation.workers.process import WorkerGoneError
from avo_tui.evaluation.workers.sites import SiteRequest, only

if TYPE_CHECKING:
    from distributed import Client

LOOK_SECONDS = 1.0
"""Seconds between two queries of the cluster's list of workers."""
CONNECT_SECONDS = 30.0


def make_site(url: SplitResult, wanted: SiteRequest) -> Site:
    """The site of a URL. Raises ValueError, one sentence."""
    only(url, wanted.query, {"resource"})
    if not url.hostname or not url.port:
        raise ValueError(
            f"--evaluator {url.geturl()}: name the scheduler with its port, such as "
            "dask://node1:8786"
        )
    if wanted.devices != ("",):
        raise ValueError(
            "--devices means nothing to dask: each of its workers is a device; start as many as "
            "you want, each with its own CUDA_VISIBLE_DEVICES"
        )
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise ValueError(
            f"--evaluator {url.geturl()} needs dask: pip install 'avo-tui[dask]'"
        ) from None
    address = f"tcp://{url.hostname}:{url.port}"
    return DaskSite(address, wanted.task, wanted.worker_options, wanted.query.get("resource"))


class DaskSite:
    """The workers of a Dask cluster, as they come and go."""

    def __init__(
        self, address: str, task: str, options: tuple[str, ...], resource: str | None
    ) -> None:
        """`resource`: name of the resource of which a request takes one unit; None asks for
        `device` where a worker declares it."""
        self.address = address
        self.options = options
        self.resource = resource
        self.addresses: dict[str, str] = {}
        """Name of a device → address of the Dask worker that currently serves it."""
        self.topic = f"avo-{secrets.token_hex(8)}"
        self.sinks: dict[str, ProgressSink] = {}
        """Number of a request → receiver of its progress."""
        self.links: dict[str, DaskLink] = {}
        self._task = task
        self._client: Client | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def client(self) -> Client:
        """The connection to the scheduler, once `open` has made it."""
        assert self._client is not None
        return self._client

    async def open(self, joined: Joined, left: Left) -> None:
        """See `Site.open`."""
        from distributed import Client

        try:
            self._client = await Client(
                self.address, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except OSError as error:
            raise EvaluatorError(
                f"there is no Dask scheduler at {self.address}: {error}"
            ) from error
        self.client.subscribe_topic(self.topic, self._see)
        await self._look(joined, left)
        if not self.addresses:
            raise EvaluatorError(f"the Dask cluster at {self.address} has no workers yet")
        self._watch = asyncio.create_task(self._look_on(joined, left))

    async def _look_on(self, joined: Joined, left: Left) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(OSError):  # the client reconnects by itself
                await self._look(joined, left)

    async def _look(self, joined: Joined, left: Left) -> None:
        scheduler: Any = self.client.scheduler
        identity: Mapping[str, Any] = await scheduler.identity(n_workers=-1)
        now = {f"dask:{w['name']}": a for a, w in identity["workers"].items()}
        for name in [n for n, address in self.addresses.items() if now.get(n) != address]:
            del self.addresses[name]
            self.links.pop(name).gone.set()
            left(name, "its Dask worker is gone")
        for name, address in now.items():
            if name in self.addresses:
                continue
            self.addresses[name] = address
            units = identity["workers"][address].get("resources") or {}
            resource = self.resource or ("device" if "device" in units else None)
            link = self.links[name] = DaskLink(self, name, address, resource)
            joined(WorkerDevice(name, link, self._task))

    def _see(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, message = event
        sink = self.sinks.get(message["number"])
        if sink is not None:
            sink(EvaluationProgress.model_validate(message["progress"]))

    async def close(self) -> None:
        """See `Site.close`."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._client is not None:
            await self._client.close()


class DaskLink:
    """The line to the evaluation worker inside one Dask worker."""

    def __init__(self, site: DaskSite, name: str, address: str, resource: str | None) -> None:
        self._site = site
        self._name = name
        self._address = address
        self._resources = {resource: 1} if resource else None
        self._numbers = itertools.count(1)
        self._who: dict[str, Any] | None = None
        self.gone = asyncio.Event()
        """Set when the cluster no longer has this worker."""

    @property
    def pid(self) -> int | None:
        """None: the process is not on this machine."""
        return None

    async def hello(self) -> dict[str, Any]:
        """See `Link.hello`. Raises EvaluatorError where the Dask worker is not there."""
        if self._who is None:
            try:
                self._who = await self._submit("", dask_side.hello, self._site.options)
            except WorkerGoneError as error:
                raise EvaluatorError(str(error)) from error
        return self._who

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        """See `Link.request`."""
        who = await self.hello()
        number = f"{self._name}/{next(self._numbers)}"
        if progress is not None:
            self._site.sinks[number] = progress
        try:
            return await self._submit(
                number, dask_side.answer, self._site.options, who["pid"], number, body,
                self._site.topic,
            )  # fmt: skip
        except WorkerGoneError:
            self._who = None
            raise
        finally:
            self._site.sinks.pop(number, None)

    async def _submit(self, number: str, work: Any, *arguments: object) -> Any:
        """Runs a function in the Dask worker and returns its result."""
        from distributed import Future

        if self.gone.is_set():
            raise WorkerGoneError("its Dask worker is gone")
        future: Future[Any] = self._site.client.submit(
            work, *arguments, workers=[self._address], allow_other_workers=False,
            resources=self._resources, pure=False, retries=0,
        )  # fmt: skip
        result = asyncio.ensure_future(future.result())
        gone = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise WorkerGoneError("its Dask worker is gone")
            return self._plain(result)
        except asyncio.CancelledError:
            if number and not self.gone.is_set():
                await self._cancel(number)
            raise
        finally:
            for task in (result, gone):
                task.cancel()
            await asyncio.gather(result, gone, return_exceptions=True)
            await future.cancel()

    def _plain(self, result: asyncio.Future[Any]) -> Any:
        """The result of a Dask future; an error of Dask itself counts as the loss of the worker."""
        try:
            return result.result()
        except (WorkerGoneError, EvaluatorError):
            raise
        except Exception as error:
            raise WorkerGoneError(f"Dask: {type(error).__name__}: {error}") from error

    async def _cancel(self, number: str) -> None:
        """Ends a request in the Dask worker, without waiting in the worker's queue."""
        with contextlib.suppress(Exception):  # a worker that is gone runs no candidate
            await self._site.client.run(
                dask_side.cancel, self._site.options, number, workers=[self._address]
            )

    async def sense(self) -> tuple[DeviceState, ...]:
        """See `Device.sense`; does not wait in the queue of the Dask worker."""
        if self.gone.is_set() or self._who is None:
            return ()
        answers = await self._site.client.run(
            dask_side.sense, self._site.options, workers=[self._address]
        )
        return tuple(DeviceState.model_validate(state) for state in answers[self._address])

    async def rest(self) -> None:
        """See `Link.rest`: the worker ends by itself when it has nothing to do for long."""

    async def close(self) -> None:
        """See `Link.close`: likewise, since another session may be served by it."""
