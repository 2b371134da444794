"""Reads the state of the machine's processors and GPUs: clocks, power, temperature, throttling.

Nothing here measures a candidate. A sample is a few files under /proc and /sys, or a few calls of
NVML, NVIDIA's management library; both are read without privileges.
"""

from avo_tui.devices.sensors import OwnSensors, Sensor, gpu_sensor, processor_sensor
from avo_tui.devices.watch import Watch, watched

__all__ = ["OwnSensors", "Sensor", "Watch", "gpu_sensor", "processor_sensor", "watched"]
