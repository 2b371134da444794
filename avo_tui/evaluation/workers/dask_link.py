"""The line to the evaluation worker inside one Dask worker."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any

from avo_tui.domain.device import DeviceState
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers import dask_side
from avo_tui.evaluation.workers.process import CANCEL_SECONDS, WorkerGoneError

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

    @property
    def pid(self) -> int | None:
        """None: the process is not on this machine."""
        return None

    async def hello(self) -> dict[str, Any]:
        """See `Link.hello`. Raises EvaluatorError where the Dask worker is not there."""
        if self._lost.is_set():
            raise EvaluatorError(self._why_lost)
        if self._who is None:
            try:
                self._who = await self._submit(self._number(), dask_side.hello, self._options)
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
                number, dask_side.answer, self._options, who["life"], number, body, self._topic
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
            self._client.run(dask_side.cancel, self._options, number, workers=[self.address])
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
                answers = await self._client.run(
                    dask_side.sense, self._options, workers=[self.address]
                )
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
