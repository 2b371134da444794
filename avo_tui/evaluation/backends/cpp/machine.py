"""The processor's limits, and the time that communication with a process takes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from avo_tui.evaluation.backends.cpp import driver
from avo_tui.evaluation.backends.cpp.toolchain import cpu_features
from avo_tui.evaluation.ports import EvaluatorError


def flops_per_cycle() -> float:
    """Fused multiply-adds count two; the most that cores with these features have."""
    features = cpu_features()
    if platform.machine() == "aarch64":
        return 4 * 4 * 2.0  # cores with four 128-bit pipes
    lanes = 16 if "avx512f" in features else 8 if "avx" in features else 4
    return lanes * 2 * 2.0


TILE_OPERATIONS_PER_CYCLE = 2048.0
"""The most that AMX does on one core: 16 × 16 × 64 products of 8-bit numbers in 16 cycles."""


def maximum_frequency() -> float:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    try:
        return float(path.read_text()) * 1e3
    except (OSError, ValueError):
        return 0.0


def _idle_ticks() -> dict[int, int]:
    """Processor → ticks it was idle since boot, of those that we may use."""
    ours = os.sched_getaffinity(0)
    ticks = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in ours:
            ticks[int(name[3:])] = int(fields[3]) + int(fields[4])
    return ticks


def lock_name() -> str:
    """`cpu`, or the cores of it that this process is kept to, such as `cpu:0+1`."""
    ours = os.sched_getaffinity(0)
    if len(ours) >= (os.cpu_count() or 1):
        return "cpu"
    return "cpu:" + "+".join(str(core) for core in sorted(ours))


def require_cores(threads: int) -> None:
    """Raises EvaluatorError if this worker is limited to fewer cores than the task has threads."""
    ours = os.sched_getaffinity(0)
    if ":" in lock_name() and len(ours) < threads:
        cores = ", ".join(map(str, sorted(ours)))
        raise EvaluatorError(
            f"the task uses {threads} threads, but this device has only the cores {cores}; name "
            "larger sets of cores, such as --devices 0-3,4-7"
        )


_before: dict[int, int] = {}


def benchmark_cpu() -> int:
    """The processor to time candidates and baselines on: the idlest since this was last asked.

    Both are timed on the same one, so that they find the inputs in the same caches.
    """
    global _before
    try:
        ticks = _idle_ticks()
    except (OSError, ValueError, IndexError):  # a /proc that hides it
        ticks = {}
    if not ticks:
        return max(os.sched_getaffinity(0))
    idle = {cpu: now - _before.get(cpu, 0) for cpu, now in ticks.items()}
    _before = ticks
    return max(idle, key=lambda cpu: (idle[cpu], cpu))


def nominal_peak(threads: int) -> float:
    """FLOP/s in single precision at the highest clock that the system tells of; 0 without one."""
    hertz = maximum_frequency()
    if not hertz:
        try:
            text = Path("/proc/cpuinfo").read_text()
        except OSError:
            return 0.0
        clocks = [line.partition(":")[2] for line in text.splitlines() if "MHz" in line]
        hertz = max((float(clock) * 1e6 for clock in clocks), default=0.0)
    return hertz * flops_per_cycle() * threads


EXTENSIONS = (
    "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "avx2", "fma", "sve",
)  # fmt: skip
"""What a candidate can use where the processor has it."""


def facts(threads: int) -> tuple[str, ...]:
    """What an engineer asks of a processor: vector width, caches, options of the compiler.

    Caches are those of one core, as the system tells; what it does not tell is left out. `threads`
    are those of a candidate.
    """
    features = cpu_features()
    wide = [f for f in EXTENSIONS if f in features]
    lines = [f"vector extensions: {', '.join(wide)}"] if wide else []
    folder = Path("/sys/devices/system/cpu/cpu0/cache")
    caches = []
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            caches.append(f"L{level} {size}")
    if caches:
        lines.append(f"caches: {', '.join(caches)}")
    lines.append(f"options: {' '.join(driver.FIXED)}")
    core = "the candidate's own core" if threads == 1 else "one core"
    lines.append(
        "what caches hold when a timed call begins: the harness, another process, has filled the"
        f" outputs and then written new inputs, on {core}. What of them was written last is in that"
        " core's L1 and L2 as far as it fits, the rest in the shared cache or in memory; before"
        " that a library call and the comparison of outputs ran there, so little of the kernel's"
        " own code and buffers is left. Addresses change from call to call (no TLB entries)"
    )
    lines.append(
        "the pages of inputs and outputs are mapped before the clock starts, so they cost no page"
        " faults, but memory that a kernel allocates itself does"
    )
    return tuple(lines)
