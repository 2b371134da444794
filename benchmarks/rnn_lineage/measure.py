"""Measure floors, kernels and libraries of the task sparse_rnn in one process: µs per time step.

    python benchmarks/rnn_lineage/measure.py --out results            # everything, some 20 s
    python benchmarks/rnn_lineage/measure.py --only floors
    python benchmarks/rnn_lineage/measure.py FOLDER ...                # these candidates

Quicker than `avo evaluate` and less strict: one set of weights for each configuration, the same
inputs in every run, the median of nine runs behind a busy wait; each candidate is judged once on
each configuration, as in a check. For choosing what to try next; scores come from `avo evaluate`.

Exit status: 0, or 1 without a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
if str(ROOT) not in sys.path:  # the checkout need not be installed
    sys.path.insert(0, str(ROOT))

from avo_tui.domain.task import Configuration  # noqa: E402
from avo_tui.evaluation.backends.base import Rejected  # noqa: E402
from avo_tui.evaluation.backends.cuda import toolkit  # noqa: E402
from avo_tui.evaluation.backends.cuda.compiled import plans_for  # noqa: E402
from avo_tui.evaluation.backends.cuda.compiler import Compiler  # noqa: E402
from avo_tui.evaluation.backends.cuda.device import Gpu, NoGpu, probe  # noqa: E402
from avo_tui.evaluation.backends.cuda.launch_plan import (  # noqa: E402
    LaunchPlan,
    PlannedParam,
    PlannedStage,
    PlannedWorkspace,
)
from avo_tui.evaluation.backends.cuda.task import CudaTask  # noqa: E402
from avo_tui.evaluation.candidates import read_candidate  # noqa: E402
from avo_tui.evaluation.measurement.judge import expect, judge  # noqa: E402
from avo_tui.evaluation.sandbox.run import Sandbox  # noqa: E402
from avo_tui.evaluation.task import prepare_baseline  # noqa: E402
from avo_tui.evaluation.tasks import load_task  # noqa: E402

RUNS = 9
BUSY_CYCLES = 200_000
"""The GPU idles so long before a timed run: the host has queued all of it by then."""
FLOOR_STEPS = 128
MEMORY = "memory"
Row = dict[str, Any]


def timed(call: Callable[[], None], before: Callable[[], None], steps: int) -> float:
    """Median µs per step of `call`; `before` is untimed."""
    import torch

    times = []
    for _ in range(RUNS):
        before()
        torch.cuda._sleep(BUSY_CYCLES)
        start = torch.cuda.Event(enable_timing=True)
        stop = torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        stop.record()
        torch.cuda.synchronize()
        times.append(float(start.elapsed_time(stop)))
    return 1e3 * statistics.median(times) / steps


def floor(
    code: bytes,
    entry: str,
    grid: int,
    block: int,
    numbers: tuple[int, ...],
    cluster: int = 0,
    shared: int = 0,
    memory: int = 1 << 24,
) -> float:
    """µs per step of one kernel of floors.cu; those without a cluster get `memory` zeroed bytes."""
    from avo_tui.evaluation.backends.cuda.harness.launch import Buffers, Module, Runner

    params = [] if cluster else [PlannedParam(kind="pointer", buffer=MEMORY)]
    params += [PlannedParam(kind="i32", value=n) for n in numbers]
    stage = PlannedStage(
        entry=entry,
        grid=(grid, 1, 1),
        block=(block, 1, 1),
        cluster=(cluster, 1, 1) if cluster else None,
        shared_memory=shared,
        cooperative=not cluster,
        programmatic=False,
        params=tuple(params),
        path=entry,
    )
    # `zero` is inside the timing; the floors are told apart from it by zeroing before.
    space = {MEMORY: PlannedWorkspace(bytes=memory, zero=False)}
    plan = LaunchPlan(variant=None, maps={}, workspaces=space, stages=(stage,))
    module = Module(code, {})
    with Buffers((), plan.workspaces, 1) as buffers:
        result = timed(Runner(plan, module, buffers), lambda: buffers.poison(0), FLOOR_STEPS)
    module.unload()
    return result


def floors(architecture: str) -> Iterator[Row]:
    """What an exchange costs when nothing is computed."""
    import torch
    from cuda.core import Program, ProgramOptions

    torch.zeros(1, device="cuda")  # makes the device's primary context current in this thread
    options = ProgramOptions(
        arch=architecture, std="c++17", include_path=list(toolkit.include_folders())
    )
    source = (HERE / "floors.cu").read_text(encoding="utf-8")
    code = bytes(Program(source, "c++", options).compile("cubin").code)
    for grid, block in ((132, 512), (72, 384)):
        took = floor(code, "barrier", grid, block, (FLOOR_STEPS,))
        yield {"floor": f"barrier of {grid} blocks", "us": took}
        took = floor(code, "words", grid, 160, (FLOOR_STEPS,))
        yield {"floor": f"a word from each of {grid} blocks to each", "us": took}
        for hidden, batch in ((1152, 4), (2304, 4), (2304, 16), (4608, 4), (10368, 4)):
            size = FLOOR_STEPS * hidden * batch * 2
            numbers = (FLOOR_STEPS, hidden * batch // 8)
            took = floor(code, "states", grid, block, numbers, memory=max(size, 1 << 24))
            yield {"floor": f"h of {hidden} x {batch} to each of {grid} blocks", "us": took}
    for cluster in (8, 16):
        took = floor(code, "cluster_barrier", cluster, 256, (FLOOR_STEPS,), cluster)
        yield {"floor": f"barrier of a cluster of {cluster}", "us": took}
        shared = FLOOR_STEPS * cluster * 4
        took = floor(code, "cluster_words", cluster, 256, (FLOOR_STEPS, cluster), cluster, shared)
        yield {"floor": f"a word from each block of a cluster of {cluster} to each", "us": took}


async def candidates(task: CudaTask, folders: list[Path], gpu: Gpu) -> list[Row]:
    """Every candidate on every scored configuration."""
    rows = []
    compiler = Compiler(Sandbox())
    for folder in folders:
        candidate = read_candidate(folder)
        plans = plans_for(task, candidate, gpu.facts)
        try:
            unit = await compiler.compile(candidate, gpu.architecture)
        except Rejected as error:
            rows.append({"candidate": folder.name, "failed": error.feedback.summary})
            continue
        for configuration in task.configurations:
            plan = plans[configuration.name]
            compiled = unit.unit_of(plan.variant)
            row = run(task, configuration, plan, compiled.code, compiled.symbols)
            rows.append({"candidate": folder.name, "configuration": configuration.name, **row})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def run(
    task: CudaTask,
    configuration: Configuration,
    plan: LaunchPlan,
    code: bytes,
    symbols: dict[str, str],
) -> Row:
    """Judges one run of a candidate and times others."""
    from avo_tui.evaluation.backends.cuda.harness.launch import (
        Buffers,
        Module,
        Preparer,
        Runner,
        synchronize,
    )

    with Buffers(task.tensors(configuration), plan.workspaces, 3) as buffers:
        module, copy = Module(code, symbols), Module(code, symbols)
        runner, preparer = Runner(plan, module, buffers), Preparer(plan, copy, buffers)
        preparer(lambda inputs: task.fill(configuration, 11, "normal", inputs))
        runner()
        synchronize("running")
        reference = task.reference(configuration, buffers.inputs)["o"]
        own = task.own(configuration, buffers.inputs)["o"]
        found = judge("o", buffers.outputs["o"], expect(reference, own, task.tolerance))
        steps = int(configuration.parameters["steps"])
        row = {
            "right": found.ok,
            "error": round(found.error, 3),
            "us": timed(runner, lambda: buffers.poison(1), steps),
            "prepare_ms": preparer.milliseconds,
        }
        module.unload()
        copy.unload()
    return row


def libraries(task: CudaTask) -> Iterator[Row]:
    """Every baseline on every scored configuration."""
    for configuration in task.configurations:
        inputs = task.make_inputs(configuration, 5, "normal")
        steps = int(configuration.parameters["steps"])
        for name, function in task.baselines().items():
            prepare_baseline(function, configuration, inputs)

            def call(f: Callable[..., object] = function, c: Configuration = configuration) -> None:
                f(c, inputs)  # noqa: B023 - called before the loop goes on

            took = timed(call, lambda: None, steps)
            yield {"library": name, "configuration": configuration.name, "us": took}


def main(arguments: list[str] | None = None) -> int:
    """Measures what is asked for and prints a line for each figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="candidates; the versions where none")
    parser.add_argument("--only", choices=("floors", "candidates", "libraries"))
    parser.add_argument("--out", type=Path, help="folder for measure.json")
    options = parser.parse_args(arguments)
    gpu = asyncio.run(probe())
    if isinstance(gpu, NoGpu):
        print(f"a GPU is needed: {gpu.reason}", file=sys.stderr)
        return 1
    task = load_task(ROOT / "kernels" / "sparse_rnn")
    assert isinstance(task, CudaTask)
    folders = options.folders or sorted(p.parent for p in HERE.glob("versions/*/launch.toml"))
    rows: list[Row] = []
    if options.only in {None, "floors"}:
        rows += floors(gpu.architecture)
    if options.only in {None, "libraries"}:
        rows += libraries(task)
    for row in rows:
        print(json.dumps(row), flush=True)
    if options.only in {None, "candidates"}:
        rows += asyncio.run(candidates(task, folders, gpu))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "measure.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
