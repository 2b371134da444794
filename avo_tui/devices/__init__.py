"""Reads the state of the machine's processors and GPUs: clocks, power, temperature, throttling.

Nothing here measures a candidate. A sample is a few files under /proc and /sys, or a few calls of
NVML, NVIDIA's management library; both are read without privileges.
"""

from avo_tui.devices.sensors import Sensor, gpu_sensor, machine_sensors, processor_sensor
from avo_tui.devices.watch import Watch, watched

__all__ = ["Sensor", "Watch", "gpu_sensor", "machine_sensors", "processor_sensor", "watched"]
