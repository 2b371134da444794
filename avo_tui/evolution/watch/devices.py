"""Keeps the last minutes of the evaluator's devices where screens find them."""

from __future__ import annotations

import asyncio
import logging

from avo_tui.evaluation.ports import Sensing
from avo_tui.evolution.run import Run
from avo_tui.store import DeviceLog

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
"""Seconds until a device or a disk that failed is asked again."""


async def watch_devices(run: Run) -> None:
    """Samples for ever, where the evaluator can tell of its devices. Nothing here ends a run."""
    if not isinstance(run.evaluator, Sensing):
        return
    devices: DeviceLog | None = None
    try:
        while True:
            wait = SAMPLE_SECONDS
            try:
                states = await run.evaluator.devices()
                if devices is None:
                    devices = DeviceLog(run.writer.folder)
                if states:
                    await asyncio.to_thread(devices.add, states)
            except Exception as error:  # a run is worth more than its sparklines
                log.info("the devices are not watched for %.0f s: %s", PATIENCE_SECONDS, error)
                wait = PATIENCE_SECONDS
            await asyncio.sleep(wait)
    finally:
        if devices is not None:
            devices.close()
