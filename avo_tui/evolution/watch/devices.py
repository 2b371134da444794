"""Keeps how the evaluator's devices are, and what they do, where other processes see it."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from avo_tui.domain.base import now
from avo_tui.domain.workers import QueueSeen, WorkersSeen, WorkerStatus
from avo_tui.evolution.run import Run
from avo_tui.store import DeviceLog, WorkersFile

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
"""Seconds to wait after an error of a device or the disk before sampling again."""
AGAIN = timedelta(seconds=10)
"""Age from which what the devices do is written again though nothing changed."""


async def watch_devices(run: Run) -> None:
    """Sample the devices for as long as the run lasts, if the evaluator supports it.

    No error in here ends the run.
    """
    watch = DeviceWatch(run)
    try:
        while True:
            wait = SAMPLE_SECONDS
            try:
                await watch.look()
            except Exception as error:  # a failure of this display must not end the run
                log.info("the devices are not watched for %.0f s: %s", PATIENCE_SECONDS, error)
                wait = PATIENCE_SECONDS
            await asyncio.sleep(wait)
    finally:
        watch.close()


class DeviceWatch:
    """Writes samples of the devices, and what each of them does."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._log: DeviceLog | None = None
        self._file: WorkersFile | None = None
        self._told: tuple[tuple[WorkerStatus, ...], QueueSeen | None] = ((), None)
        self._told_at: datetime | None = None

    async def look(self) -> None:
        """Looks once. Raises OSError for a device or a disk."""
        await self._tell_workers()
        self._run.devices = states = await self._run.evaluator.devices()
        if states:
            if self._log is None:
                self._log = DeviceLog(self._run.writer.folder)
            await asyncio.to_thread(self._log.add, states)

    async def _tell_workers(self) -> None:
        evaluator, moment = self._run.evaluator, now()
        workers, queue = evaluator.workers(), evaluator.queue()
        old = self._told_at is not None and moment - self._told_at >= AGAIN
        if (workers, queue) == self._told and not old:
            return
        if self._file is None:
            self._file = WorkersFile(self._run.writer.folder)
        seen = WorkersSeen(at=moment, workers=workers, queue=queue)
        await asyncio.to_thread(self._file.write, seen)
        self._told, self._told_at = (workers, queue), moment

    def close(self) -> None:
        for file in (self._log, self._file):
            if file is not None:
                file.close()
