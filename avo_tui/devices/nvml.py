"""NVIDIA GPUs through NVML, by its own Python package `nvidia-ml-py` (module `pynvml`).

A quantity that a GPU or its driver does not tell is left out; a GPU that is gone is an OSError.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

from avo_tui.domain.base import now
from avo_tui.domain.device import DeviceState

REASONS = (
    ("nvmlClocksThrottleReasonSwPowerCap", "power limit"),
    ("nvmlClocksThrottleReasonHwSlowdown", "hardware slowdown"),
    ("nvmlClocksThrottleReasonSyncBoost", "the slowest GPU of a group"),
    ("nvmlClocksThrottleReasonSwThermalSlowdown", "temperature"),
    ("nvmlClocksThrottleReasonHwThermalSlowdown", "temperature (hardware)"),
    ("nvmlClocksThrottleReasonHwPowerBrakeSlowdown", "power brake"),
)
"""Constant of pynvml → the reason in words. Being idle, and clocks that somebody has set, are
reasons for NVML as well and no throttling."""


class NvmlError(Exception):
    """NVML cannot be used; the text says why."""


def _library() -> Any:
    """The module pynvml, with the driver's library loaded. Raises NvmlError."""
    try:
        nvml = import_module("pynvml")
    except ImportError as error:
        raise NvmlError("nvidia-ml-py is not installed: pip install 'avo-tui[cuda]'") from error
    try:
        nvml.nvmlInit()  # counts its calls; the first loads the library
    except nvml.NVMLError as error:
        raise NvmlError(f"no NVIDIA driver: {error}") from error
    return nvml


class NvmlSensor:
    """One GPU."""

    def __init__(self, nvml: Any, handle: Any, index: int) -> None:
        self._nvml, self._handle, self._index = nvml, handle, index
        self._name = _text(self._ask(nvml.nvmlDeviceGetName)) or "NVIDIA GPU"

    @classmethod
    def of_uuid(cls, uuid: str) -> NvmlSensor:
        """The GPU of that UUID, with or without `GPU-` before it, or cut. Raises NvmlError."""
        wanted = uuid.removeprefix("GPU-").replace("-", "").lower()
        for sensor in _all():
            if wanted and sensor.uuid.replace("-", "").startswith(wanted):
                return sensor
        raise NvmlError(f"NVML knows no GPU {uuid!r}")

    @property
    def uuid(self) -> str:
        """The GPU's UUID without `GPU-`, in small letters; empty where it is not told."""
        text = _text(self._ask(self._nvml.nvmlDeviceGetUUID)) or ""
        return text.removeprefix("GPU-").lower()

    def sample(self) -> DeviceState:
        """The state now. Raises OSError where the GPU has been lost."""
        nvml = self._nvml
        used = self._ask(nvml.nvmlDeviceGetMemoryInfo)
        busy = self._ask(nvml.nvmlDeviceGetUtilizationRates)
        return DeviceState(
            name=self._name,
            index=self._index,
            at=now(),
            utilisation=None if busy is None else busy.gpu / 100,
            clock_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            clock_max_mhz=self._ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
            power_watts=_thousandth(self._ask(nvml.nvmlDeviceGetPowerUsage)),
            power_limit_watts=_thousandth(self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit)),
            temperature_celsius=self._ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            memory_used=None if used is None else used.used,
            memory_total=None if used is None else used.total,
            throttle=self._throttle(),
        )

    def _throttle(self) -> tuple[str, ...]:
        bits = self._ask(self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons) or 0
        known = [(getattr(self._nvml, constant, 0), words) for constant, words in REASONS]
        return tuple(words for bit, words in known if bits & bit)

    def _ask(self, question: Callable[..., Any], *more: Any) -> Any:
        """The answer to an NVML query; None if this GPU or driver does not support it."""
        nvml = self._nvml
        try:
            return question(self._handle, *more)
        except nvml.NVMLError as error:
            if error.value in {nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_UNINITIALIZED}:
                raise OSError(f"the GPU cannot be asked any more: {error}") from error
            return None


def _all() -> list[NvmlSensor]:
    nvml = _library()
    try:
        count = nvml.nvmlDeviceGetCount()
        return [NvmlSensor(nvml, nvml.nvmlDeviceGetHandleByIndex(i), i) for i in range(count)]
    except (nvml.NVMLError, OSError) as error:
        raise NvmlError(str(error)) from error


def visible_gpus() -> list[NvmlSensor]:
    """The GPUs that CUDA_VISIBLE_DEVICES allows, by number or UUID; all without it.

    Numbers are NVML's, in the order of the bus: CUDA's own where all GPUs are of one kind or
    CUDA_DEVICE_ORDER is PCI_BUS_ID. Raises NvmlError.
    """
    sensors = _all()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return sensors
    chosen: list[NvmlSensor] = []
    for word in filter(None, (part.strip() for part in allowed.split(","))):
        if word.isdecimal():
            chosen += sensors[int(word) : int(word) + 1]
        else:
            wanted = word.removeprefix("GPU-").lower()
            chosen += [sensor for sensor in sensors if sensor.uuid.startswith(wanted)][:1]
    return chosen


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000
