"""NVML over its C interface: a small library of ours stands where the driver's would be."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed (extra cuda)")

SOURCE = Path(__file__).with_name("fake_nvml.c")
PROGRAM = """
import json
from avo_tui.devices.sensors import gpu_sensor, machine_sensors
out = []
for sensor in machine_sensors()[:-1]:
    try:
        out.append(sensor.sample().model_dump(mode="json"))
    except OSError as error:
        out.append(str(error))
by = gpu_sensor("bbbb0000-1111")
print(json.dumps([out, None if by is None else by.sample().name]))
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", target, SOURCE], check=True)
    return folder


def sampled(library: Path, **environment: str) -> tuple[list[dict[str, object]], str | None]:
    """The samples of all visible GPUs, and the name of the one found by a part of its UUID."""
    environ = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    environ |= {"LD_LIBRARY_PATH": str(library), **environment}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("by.sample().name", "by._name")],
        env=environ, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    samples, by = json.loads(run.stdout)
    return samples, by


def test_a_gpu_tells_its_state_in_our_units(library: Path) -> None:
    samples, by_uuid = sampled(library, FAKE_REASONS=str(0x1 | 0x4 | 0x40))
    full, poor = samples
    assert full["name"] == "NVIDIA H200"
    assert (full["clock_mhz"], full["clock_max_mhz"]) == (1410, 1980)
    assert (full["power_watts"], full["power_limit_watts"]) == (698.5, 700.0)
    assert (full["temperature_celsius"], full["utilisation"]) == (71, 0.97)
    assert (full["memory_used"], full["memory_total"]) == (9000000000, 150754820096)
    # being idle (bit 0) is no throttling
    assert full["throttle"] == ["power limit", "temperature (hardware)"]
    # one that tells its clock only
    assert (poor["clock_mhz"], poor["power_watts"], poor["utilisation"]) == (1410, None, None)
    assert poor["throttle"] == []
    assert by_uuid == "NVIDIA Small"


def test_clocks_that_somebody_set_are_no_throttling(library: Path) -> None:
    samples, _ = sampled(library, FAKE_REASONS=str(0x2 | 0x100))
    assert samples[0]["throttle"] == []


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("1", ["NVIDIA Small"]),
        ("GPU-aaaa", ["NVIDIA H200"]),
        ("1,0", ["NVIDIA Small", "NVIDIA H200"]),
        ("", []),
    ],
)
def test_only_visible_gpus_are_watched(library: Path, visible: str, names: list[str]) -> None:
    samples, _ = sampled(library, CUDA_VISIBLE_DEVICES=visible)
    assert [sample["name"] for sample in samples] == names


def test_a_lost_gpu_is_an_error_and_not_a_value(library: Path) -> None:
    samples, _ = sampled(library, FAKE_LOST="1", CUDA_VISIBLE_DEVICES="0")
    assert "cannot be asked any more" in str(samples[0])


def test_without_a_driver_there_is_the_processor() -> None:
    from avo_tui.devices.nvml import NvmlError, visible_gpus

    try:
        visible_gpus()
    except NvmlError as error:
        assert "driver" in str(error)
    else:
        pytest.skip("there is an NVIDIA driver")


@pytest.mark.gpu
def test_a_real_gpu_tells_its_clock_and_temperature() -> None:
    from avo_tui.devices.nvml import NvmlError, visible_gpus

    try:
        sensors = visible_gpus()
    except NvmlError as error:
        pytest.skip(str(error))
    for sensor in sensors:
        state = sensor.sample()
        assert state.clock_mhz is not None and 100 <= state.clock_mhz <= 5000
        assert state.clock_max_mhz is not None and state.clock_mhz <= state.clock_max_mhz + 50
        assert state.temperature_celsius is not None and 10 <= state.temperature_celsius <= 110
        assert state.memory_total is not None and state.memory_total > 1 << 30
