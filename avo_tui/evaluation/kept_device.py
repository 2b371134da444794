"""Keeps a device's lock from one request to the next, where they belong to one call.

Who compares ten variants asks the worker ten times. Without this each of them would wait at the end
of the queue again, behind whoever else measures on the device.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from avo_tui.evaluation.locks import Waited, device_lock, somebody_waits
from avo_tui.evaluation.ports import ProgressSink

KEPT_SECONDS = 3.0
"""Seconds for which the lock is kept for the next request of a call: time to compile a variant."""

FAIR_SECONDS = 60.0
"""Seconds after which a call gives the device away between two requests, if somebody waits for
it. It then waits for its turn like everybody else."""


class KeptDevice:
    """The device's lock of one worker, which serves one request at a time."""

    def __init__(self, kept: float = KEPT_SECONDS, fair: float = FAIR_SECONDS) -> None:
        self._kept_seconds = kept
        self._fair_seconds = fair
        self._device = ""
        self._held: AsyncExitStack | None = None
        self._since = 0.0
        self._expiry: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def hold(
        self, device: str, progress: ProgressSink, *, more: bool = False
    ) -> AsyncIterator[Waited]:
        """Hold the lock, the one that the request before has left if it is of the same device.

        `more`: another request of the same call follows, so the lock is kept for it for a moment,
        unless somebody waits and the call has had the device for long enough.
        """
        await self._stop_expiry()
        if self._held is not None and self._device == device:
            waited = Waited()
        else:
            await self.release()
            held = AsyncExitStack()
            waited = await held.enter_async_context(device_lock(device, progress))
            self._device, self._held, self._since = device, held, time.monotonic()
        keep = False
        try:
            yield waited
            keep = more and not self._had_enough()
        finally:
            if keep:
                self._expiry = asyncio.create_task(self._expire(), name="kept device")
            else:
                await self.release()

    async def release(self) -> None:
        """Give the device away now; does nothing where none is held."""
        await self._stop_expiry()
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()

    def _had_enough(self) -> bool:
        long = time.monotonic() - self._since >= self._fair_seconds
        return long and somebody_waits(self._device)

    async def _expire(self) -> None:
        await asyncio.sleep(self._kept_seconds)
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()

    async def _stop_expiry(self) -> None:
        expiry, self._expiry = self._expiry, None
        if expiry is not None:
            expiry.cancel()
            await asyncio.gather(expiry, return_exceptions=True)
