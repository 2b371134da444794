"""Samples a device while something is measured on it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from avo_tui.devices.sensors import Sensor
from avo_tui.domain.device import DeviceHealth, DeviceState, summary

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
"""Seconds between two samples. One of the processor took 0.7 ms of processor time on a busy
machine of two cores."""

LAST_SECONDS = 2.0
"""Time limit of the last sample, in seconds, because a driver that hangs must not delay a run."""


@dataclass
class Watch:
    """The samples taken so far."""

    states: list[DeviceState] = field(default_factory=list)

    @property
    def health(self) -> DeviceHealth | None:
        """The samples' summary; None where the device could not be asked."""
        return summary(self.states)


@asynccontextmanager
async def watched(
    make: Callable[[], Sensor | None], seconds: float = WATCH_SECONDS
) -> AsyncIterator[Watch]:
    """Samples at the beginning, every `seconds` and at the end.

    `make` gives the sensor, or None where there is none; it is called in a thread, as is the sensor
    itself. A sensor that fails ends the watching and nothing else.
    """
    watch, over = Watch(), asyncio.Event()

    async def sample() -> None:
        sensor = await asyncio.to_thread(make)
        while sensor is not None:
            last = over.is_set()
            watch.states.append(await asyncio.to_thread(sensor.sample))
            if last:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), seconds)

    sampling = asyncio.create_task(sample())
    try:
        yield watch
    finally:
        over.set()
        done, _ = await asyncio.wait({sampling}, timeout=LAST_SECONDS)
        if not done:
            sampling.cancel()
        elif error := sampling.exception():
            log.warning("the device is not watched any more: %s", error)
