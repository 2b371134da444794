"""The rate of fused multiply-adds that one core reaches, as the limit for honest kernels, and its
clock's.

A library's matrix product cannot serve as the limit: libraries do not use wide vectors on
processors that they do not know, so a kernel written for the processor can be faster.
"""

from __future__ import annotations

from avo_tui.evaluation.backends.cpp.compiler import Compiler
from avo_tui.evaluation.backends.cpp.glue import NATIVE
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits
from avo_tui.evaluation.sandbox.run import Sandbox

HOW = (
    "the peak is measured: independent chains of fused multiply-adds in registers, as wide as the "
    "processor has, the best of 200 runs on one core, times the threads"
)
_LIMITS = Limits(
    seconds=20, memory_bytes=256 * MIB, address_bytes=1024 * MIB, processes=4,
    file_bytes=1 * MIB, scratch_bytes=16 * MIB, output_bytes=1 * MIB, keep_bytes=4096,
)  # fmt: skip


async def measured_ceiling(tools: Compiler, sandbox: Sandbox, cpu: int) -> tuple[float, float]:
    """Operations (single precision) and cycles per second of one core; 0 where not measured."""
    source = (NATIVE / "ceiling.cpp").read_text(encoding="utf-8")
    with sandbox.scratch() as folder:
        built = await tools.experiment({"ceiling.cpp": source}, folder, sandbox)
        if not built.ok:
            return 0.0, 0.0
        job = Job(command=("./program",), scratch=folder, limits=_LIMITS, cpu=cpu)
        ran = await sandbox.run(job)
    try:
        operations, cycles, _ = ran.stdout.split()
        return float(operations), float(cycles)
    except ValueError:
        return 0.0, 0.0
