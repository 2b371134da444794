"""Temperature, clocks and load of the devices of a fleet: this machine's sensors are read here,
those of other machines over the lines to their workers."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Sequence

from avo_tui.devices import Sensor, machine_sensors
from avo_tui.domain.device import DeviceState
from avo_tui.evaluation.workers.ports import Device

log = logging.getLogger(__name__)

FAR_SECONDS = 6.0
"""Seconds between two questions to a device of another machine."""


class OwnSensors:
    """The sensors of this machine, made when they are first asked."""

    def __init__(self) -> None:
        self._sensors: list[Sensor] | None = None

    def sample(self) -> tuple[DeviceState, ...]:
        """One sample of each. Takes milliseconds: call it in a thread. Raises OSError."""
        if self._sensors is None:
            self._sensors = machine_sensors()
        return tuple(sensor.sample() for sensor in self._sensors)


class FleetSensing:
    """Collects samples. A device that does not answer is left out until it does."""

    def __init__(self) -> None:
        self._own = OwnSensors()
        self._questions: dict[str, asyncio.Task[tuple[DeviceState, ...]]] = {}
        """Device → the question to it that is not answered yet. It is never cancelled: an answer
        that comes late is used late."""
        self._asked: dict[str, float] = {}

    async def sample(self, devices: Sequence[Device]) -> tuple[DeviceState, ...]:
        """One sample of each device that has a new one. Raises OSError for this machine's own."""
        here = platform.node()
        near = [device for device in devices if device.host == here]
        far = [device for device in devices if device.host not in {"", here}]
        states = list(self._answers())
        moment = asyncio.get_running_loop().time()
        for device in far:
            asked = self._asked.get(device.name)
            due = asked is None or moment - asked >= FAR_SECONDS
            if due and device.name not in self._questions:
                self._asked[device.name] = moment
                self._questions[device.name] = asyncio.create_task(device.sense())
        if near:
            states += await asyncio.to_thread(self._own.sample)
        return _once(states)

    def _answers(self) -> list[DeviceState]:
        states: list[DeviceState] = []
        for name in [name for name, task in self._questions.items() if task.done()]:
            task = self._questions.pop(name)
            if task.cancelled() or task.exception() is not None:
                log.debug("%s does not say how it is", name)
            else:
                states += task.result()
        return states

    async def close(self) -> None:
        """Ends the requests for samples."""
        for task in self._questions.values():
            task.cancel()
        await asyncio.gather(*self._questions.values(), return_exceptions=True)
        self._questions.clear()


def _once(states: Sequence[DeviceState]) -> tuple[DeviceState, ...]:
    """One sample of each device, since every worker of a host reports that host's processor."""
    return tuple({(s.host, s.name, s.index): s for s in states}.values())
