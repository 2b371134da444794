"""The processor's sensor, over a /proc and a /sys of our own, and over the machine's."""

import os
from pathlib import Path

from avo_tui.devices.cpu import CpuSensor


class Machine:
    """A folder that looks like the root of a machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cpu = root / "sys/devices/system/cpu" / f"cpu{min(os.sched_getaffinity(0))}"
        self.write("proc/cpuinfo", "model name\t: Some Processor 9\ncpu MHz\t\t: 2400.5\n")

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def ticks(self, *values: int) -> None:
        self.write("proc/stat", f"cpu  {' '.join(map(str, values))}\ncpu0 1 1 1 1\n")


def test_shares_cover_the_time_between_samples(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.ticks(1000, 0, 0, 1000, 0, 0, 0, 500, 0, 0)
    sensor = CpuSensor(tmp_path)
    machine.ticks(1060, 0, 10, 1020, 0, 0, 0, 510, 0, 0)
    state = sensor.sample()
    assert state.name == "cpu Some Processor 9"
    assert state.utilisation == 0.8  # 80 of 100 ticks
    assert state.steal == 0.1
    assert state.clock_mhz == 2400.5
    assert state.pressure is None and state.throttle == ()


def test_frequency_and_throttling_come_from_the_cores(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.ticks(1, 0, 0, 1, 0, 0, 0, 0)
    core = machine.cpu.relative_to(tmp_path).as_posix()
    machine.write(f"{core}/cpufreq/scaling_cur_freq", "1800000\n")
    machine.write(f"{core}/cpufreq/cpuinfo_max_freq", "3600000\n")
    machine.write(f"{core}/thermal_throttle/core_throttle_count", "7\n")
    sensor = CpuSensor(tmp_path)
    assert sensor.sample().throttle == ()
    machine.write(f"{core}/thermal_throttle/core_throttle_count", "9\n")
    state = sensor.sample()
    assert (state.clock_mhz, state.clock_max_mhz) == (1800.0, 3600.0)
    assert state.throttle == ("temperature",)
    assert sensor.sample().throttle == ()  # it was before this sample


def test_pressure_is_the_share_of_the_time_that_programs_waited(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.ticks(1, 0, 0, 1, 0, 0, 0, 0)
    line = "some avg10=1.00 avg60=1.00 avg300=1.00 total={}\nfull avg10=0 avg60=0 total=0\n"
    machine.write("proc/pressure/cpu", line.format(0))
    sensor = CpuSensor(tmp_path)
    machine.write("proc/pressure/cpu", line.format(10**12))
    assert sensor.sample().pressure == 1.0  # never above, however short the time was
    assert sensor.sample().pressure == 0.0


def test_a_machine_that_hides_everything_still_has_a_state(tmp_path: Path) -> None:
    state = CpuSensor(tmp_path / "nothing").sample()
    assert state.name == "cpu processor"
    assert (state.utilisation, state.steal, state.clock_mhz, state.pressure) == (None,) * 4


def test_this_machine_has_a_state() -> None:
    state = CpuSensor().sample()
    assert state.name.startswith("cpu ")
    assert state.load is not None and state.load >= 0
    assert state.memory_total is not None and state.memory_total > 1 << 20
