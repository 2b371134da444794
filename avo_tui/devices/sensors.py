"""The sensors of this machine: its processor, and each GPU that a process may use."""

import logging
import threading
from typing import Protocol

from avo_tui.devices.cpu import CpuSensor
from avo_tui.devices.nvml import NvmlError, NvmlSensor, visible_gpus
from avo_tui.domain.device import DeviceState

log = logging.getLogger(__name__)


class Sensor(Protocol):
    """Tells the state of one device. One instance is used by one thread at a time."""

    def sample(self) -> DeviceState:
        """The state now. Raises OSError where the device cannot be asked any more."""


def gpu_sensor(uuid: str) -> NvmlSensor | None:
    """The sensor of the GPU of that UUID, with or without `GPU-` before it.

    None without NVML and its Python package (extra `cuda`), or where there is no such GPU.
    """
    try:
        return NvmlSensor.of_uuid(uuid)
    except NvmlError as error:
        log.debug("no sensor for GPU %s: %s", uuid, error)
        return None


def processor_sensor() -> CpuSensor:
    """The sensor of the processor, counting from now."""
    return CpuSensor()


def machine_sensors() -> list[Sensor]:
    """One for each visible GPU, and one for the processor."""
    sensors: list[Sensor] = []
    try:
        sensors += visible_gpus()
    except NvmlError as error:
        log.debug("no GPU is watched: %s", error)
    return [*sensors, CpuSensor()]


class OwnSensors:
    """The sensors of this machine, made when they are first asked."""

    def __init__(self) -> None:
        self._sensors: list[Sensor] | None = None
        self._asking = threading.Lock()

    def sample(self) -> tuple[DeviceState, ...]:
        """One sample of each. Takes milliseconds: call it in a thread. Raises OSError."""
        with self._asking:
            if self._sensors is None:
                self._sensors = machine_sensors()
            return tuple(sensor.sample() for sensor in self._sensors)
