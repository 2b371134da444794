"""Finds the GPU by asking the driver in a separate process, because a broken driver can hang."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TypedDict

from avo_tui.domain.base import Value
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.measurement.metric import Ceilings

SECONDS = 20.0
DEFAULT_ARCHITECTURE = "sm_90a"
"""Default architecture if there is no GPU: Hopper."""

# ctypes and the driver alone: nothing to install, a few milliseconds where there is no driver.
_PROBE = """
import ctypes, json, sys
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError as error:
    print(json.dumps({"reason": "there is no NVIDIA driver (libcuda.so.1)"})); sys.exit()
def call(name, *args):
    code = getattr(cuda, name)(*args)
    if code:
        print(json.dumps({"reason": f"the NVIDIA driver answers {name} with error {code}"}))
        sys.exit()
call("cuInit", 0)
count = ctypes.c_int()
call("cuDeviceGetCount", ctypes.byref(count))
if not count.value:
    print(json.dumps({"reason": "there is no GPU 0; the driver sees 0"}))
    sys.exit()
device = ctypes.c_int()
call("cuDeviceGet", ctypes.byref(device), 0)
name = ctypes.create_string_buffer(200)
call("cuDeviceGetName", name, 200, device)
memory = ctypes.c_size_t()
call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
uuid = (ctypes.c_ubyte * 16)()
call("cuDeviceGetUuid", uuid, device)
driver = ctypes.c_int()
call("cuDriverGetVersion", ctypes.byref(driver))
def attribute(number):
    value = ctypes.c_int()
    call("cuDeviceGetAttribute", ctypes.byref(value), number, device)
    return value.value
print(json.dumps({
    "name": name.value.decode(), "memory": memory.value, "uuid": bytes(uuid).hex(),
    "driver": driver.value, "sms": attribute(16), "clock_khz": attribute(13),
    "major": attribute(75), "minor": attribute(76), "l2": attribute(38),
    "shared_memory": attribute(97), "memory_khz": attribute(36), "bus_bits": attribute(37),
}))
"""

# Dense bf16 multiply-adds count twice: floating-point operations per SM and clock.
_BF16_PER_CLOCK = {80: 2048, 86: 512, 87: 1024, 89: 512, 90: 4096, 100: 8192, 103: 8192, 120: 1024}


class Gpu(Value):
    """A GPU as the driver describes it."""

    name: str
    memory: int
    """Bytes."""
    uuid: str
    driver: int
    """CUDA version of the driver, such as 13000."""
    sms: int
    clock_khz: int
    major: int
    minor: int
    l2: int
    """Bytes."""
    shared_memory: int
    """Most shared memory of one block, bytes."""
    memory_khz: int = 0
    bus_bits: int = 0
    """Width of the memory bus."""

    @property
    def architecture(self) -> str:
        """The architecture to compile for; with its architecture-specific instructions if it has
        any."""
        number = 10 * self.major + self.minor
        return f"sm_{number}{'a' if number >= 90 else ''}"

    @property
    def facts(self) -> DeviceFacts:
        """What a launch plan needs."""
        return DeviceFacts(
            architecture=self.architecture, sms=self.sms, shared_memory=self.shared_memory
        )

    def ceilings(self, *, eight_bits: bool, measured_flops: float) -> Ceilings:
        """The limits of this GPU.

        `eight_bits`: the task has 8-bit inputs, which tensor cores multiply twice as fast.
        `measured_flops`: the measured rate of a large matrix product.
        """
        number = 10 * self.major + self.minor
        per_clock = _BF16_PER_CLOCK.get(number, 8192) * (2 if eight_bits else 1)
        return Ceilings(
            peak_flops=per_clock * self.sms * self.clock_khz * 1e3,
            # Two transfers per clock cycle.
            peak_bytes=2.0 * self.memory_khz * 1e3 * self.bus_bits / 8,
            cache_bytes=self.l2,
            measured_flops=measured_flops * (2 if eight_bits else 1),
        )


class NoGpu(Value):
    """Why there is no GPU to measure on."""

    reason: str


async def probe(*, seconds: float = SECONDS) -> Gpu | NoGpu:
    """The first GPU, or why there is none. Never hangs: a stuck process is killed."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in {"", "-1"}:
        return NoGpu(reason="CUDA_VISIBLE_DEVICES hides every GPU")
    if not any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg"))):
        return NoGpu(reason="there is no NVIDIA GPU (no /dev/nvidiactl)")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _PROBE,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        return NoGpu(reason=f"the NVIDIA driver did not answer within {seconds:.0f} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        reply = json.loads(out)
    except ValueError:
        return NoGpu(reason=f"asking the NVIDIA driver ended with code {process.returncode}")
    return NoGpu(reason=reply["reason"]) if "reason" in reply else Gpu.model_validate(reply)


class MachineLimits(TypedDict, total=False):
    """The fields of `MachineInfo` about a device's limits."""

    peak_flops: dict[str, float]
    peak_bytes: float
    measured_flops: float
    facts: tuple[str, ...]


def machine_limits(gpu: Gpu | NoGpu, measured: float) -> MachineLimits:
    """The limits of a GPU; nothing where there is none.

    `measured` is what its tensor cores were seen to do, FLOP/s; 0 where that was not measured.
    """
    if isinstance(gpu, NoGpu):
        return {}
    limits = gpu.ceilings(eight_bits=False, measured_flops=measured)
    return {
        "peak_flops": {"bf16 tensor cores": limits.peak_flops},
        "peak_bytes": limits.peak_bytes,
        "measured_flops": measured,
        "facts": (
            f"{gpu.sms} multiprocessors at up to {gpu.clock_khz / 1e3:.0f} MHz",
            f"L2 {gpu.l2 / 2**20:.0f} MB, memory {gpu.memory / 2**30:.0f} GB",
            f"up to {gpu.shared_memory} bytes of shared memory for a block",
        ),
    }
