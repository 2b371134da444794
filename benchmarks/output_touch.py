"""What of a C++ candidate's timed call is not its own computing: the exchange, its first touches.

    python benchmarks/output_touch.py [--calls 60]

Calls kernels of `attention_cpu` that do nothing, write the output once or twice, or touch one word
of each of its pages, in turn with the library, as the benchmark does. For each: page faults of
binding and calling, and microseconds, with what the exchange costs taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import statistics
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp.backend import CppBackend
from avo_tui.evaluation.backends.cpp.candidate_process import CandidateProcess
from avo_tui.evaluation.backends.cpp.process import in_thread
from avo_tui.evaluation.backends.cpp.toolchain import cpu_model
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.task import Task

TASK = "attention_cpu"
_HEAD = """#include "task.h"
#include <cstring>
extern "C" void attention(const float*, const float*, const float*, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool) {
    const int64_t count = batch * heads * sequence * 64;
    (void)out, (void)count;
"""
KERNELS = {
    "nothing": "",
    "a word of each page of the output": "for (int64_t i = 0; i < count; i += 1024) out[i] = 1;",
    "the output once": "memset(out, 1, count * 4);",
    "the output twice": 'memset(out, 1, count * 4); asm volatile("" ::: "memory");'
    "memset(out, 2, count * 4);",
}


def faults(pid: int) -> int:
    """Page faults of a process that needed no disk."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def calls(
    task: Task,
    configuration: Configuration,
    subject: CandidateProcess,
    count: int,
) -> tuple[list[float], list[int]]:
    """Microseconds and page faults of calls of a kernel, in turn with the library."""
    library = task.baselines()[task.reference_baseline]
    pid = subject.runner.pid
    taken, faulted = list[float](), list[int]()
    for seed in range(count):
        inputs = task.make_inputs(configuration, seed, "normal")
        library(configuration, inputs)
        before = faults(pid)
        taken.append(subject.run(configuration, inputs)[0].seconds * 1e6)
        faulted.append(faults(pid) - before)
    return taken, faulted


async def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=60)
    count = parser.parse_args().calls
    pipeline = Pipeline()
    task = pipeline.tasks.get(TASK)
    backend = pipeline.backend(task)
    assert isinstance(backend, CppBackend)
    stage = await backend.stage(task, pipeline.sandbox)
    compiler = await backend.compiler()
    print(f"{cpu_model()}, load {os.getloadavg()[0]:.1f}\n")
    print("| configuration | kernel writes | µs median (p20 to p80) | page faults |")
    print("|---|---|---|---|")
    for name, body in KERNELS.items():
        source = Candidate(files={"kernel.cpp": f"{_HEAD}    {body}\n}}\n"})
        compiled = await compiler.candidate(task, source, pipeline.sandbox)
        async with stage.subject(compiled, Stopwatch()) as subject:
            for configuration in task.configurations[:3:2]:
                work = functools.partial(calls, task, configuration, subject, count)
                taken, faulted = await in_thread(work, subject.runner.running, cpu=stage.cpu)
                low, _, _, high = statistics.quantiles(taken, n=5)
                print(
                    f"| {configuration.name} | {name} | "
                    f"{statistics.median(taken):.0f} ({low:.0f} to {high:.0f}) | "
                    f"{statistics.mean(faulted):.1f} |"
                )
    await pipeline.close()


if __name__ == "__main__":
    asyncio.run(main())
