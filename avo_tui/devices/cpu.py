"""The processor: frequency, load, steal, pressure, and thermal throttling where Linux counts it."""

import os
from pathlib import Path

import psutil

from avo_tui.domain.base import now
from avo_tui.domain.device import DeviceState

MOST_CORES = 8
"""Number of cores whose frequency is read: reading interrupts a core, and a few are
representative."""


class CpuSensor:
    """All cores of this machine together. Fractions refer to the time since the previous sample."""

    def __init__(self, root: Path = Path("/")) -> None:
        """`root` is where `proc` and `sys` are."""
        self._proc, self._cpus = root / "proc", root / "sys/devices/system/cpu"
        self._name = f"cpu {self._model()}"
        self._before = (now(), self._counters())

    def sample(self) -> DeviceState:
        """The state now; what the system hides is None."""
        moment = now()
        times, waited, throttles = counters = self._counters()
        times_before, waited_before, throttles_before = self._before[1]
        seconds = (moment - self._before[0]).total_seconds()
        self._before = (moment, counters)
        spent = {key: times[key] - times_before.get(key, 0) for key in times}
        total = sum(spent.values())
        clock, highest = self._clock()
        pressure = None
        if waited is not None and waited_before is not None and seconds > 0:
            pressure = min(1.0, max(0.0, (waited - waited_before) / 1e6 / seconds))
        memory = psutil.virtual_memory()
        return DeviceState(
            name=self._name,
            at=moment,
            utilisation=_share(total - spent.get("idle", 0) - spent.get("iowait", 0), total),
            clock_mhz=clock,
            clock_max_mhz=highest,
            temperature_celsius=self._temperature(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            throttle=("temperature",) if throttles > throttles_before else (),
            load=os.getloadavg()[0] / (os.cpu_count() or 1),
            steal=_share(spent.get("steal", 0), total),
            pressure=pressure,
        )

    def _counters(self) -> tuple[dict[str, int], int | None, int]:
        """Ticks by kind since boot, µs in which a program waited, times it was throttled."""
        return self._ticks(), self._waited(), self._throttles()

    def _ticks(self) -> dict[str, int]:
        # guest time is part of user time already
        kinds = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        try:
            head = (self._proc / "stat").read_text().partition("\n")[0].split()
            return dict(zip(kinds, map(int, head[1:]), strict=False))
        except (OSError, ValueError, IndexError):
            return {}

    def _waited(self) -> int | None:
        """Microseconds since boot in which some program waited for a core (PSI, "some")."""
        try:
            some = (self._proc / "pressure/cpu").read_text().partition("\n")[0]
            return int(some.rpartition("total=")[2])
        except (OSError, ValueError):  # a kernel without pressure, or with it switched off
            return None

    def _throttles(self) -> int:
        """How often a core or its package lowered its clock for its temperature, since boot."""
        count = 0
        for cpu in sorted(os.sched_getaffinity(0))[:MOST_CORES]:
            for what in ("core_throttle_count", "package_throttle_count"):
                count += _number(self._cpus / f"cpu{cpu}/thermal_throttle" / what) or 0
        return count

    def _clock(self) -> tuple[float | None, float | None]:
        """(mean, highest possible) in MHz, of the cores that this process may use."""
        current: list[int] = []
        highest: list[int] = []
        for cpu in sorted(os.sched_getaffinity(0))[:MOST_CORES]:
            folder = self._cpus / f"cpu{cpu}/cpufreq"
            hertz, most = (
                _number(folder / name) for name in ("scaling_cur_freq", "cpuinfo_max_freq")
            )
            current += [hertz] if hertz else []
            highest += [most] if most else []
        if current:
            return sum(current) / len(current) / 1e3, max(highest) / 1e3 if highest else None
        try:  # a virtual machine without cpufreq: use the processor's own information
            lines = (self._proc / "cpuinfo").read_text().splitlines()
            told = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        except (OSError, ValueError):
            told = []
        return (sum(told) / len(told) if told else None), None

    def _temperature(self) -> float | None:
        """The hottest sensor of the processor, degrees Celsius."""
        try:
            groups = psutil.sensors_temperatures()
        except (AttributeError, OSError):
            return None
        names = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
        readings = [r.current for name in names for r in groups.get(name, [])]
        return max(readings, default=None)

    def _model(self) -> str:
        try:
            lines = (self._proc / "cpuinfo").read_text().splitlines()
        except OSError:
            return "processor"
        named = (line.partition(":")[2] for line in lines if line.startswith("model name"))
        return next(named, "processor").strip()


def _share(part: float, whole: float) -> float | None:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
