"""Time every kernel of CUDA candidates, one by one, beside the task's baselines.

    python benchmarks/dropout_lineage/stages.py dropout_attention FOLDER [FOLDER ...] \
        --configuration llama2-7b-4k --out results

The harness times a candidate as a whole. This tells what each of its launches takes: all
candidates and baselines run in random order, round by round, in one process; an event stands
before and after each launch. Medians in microseconds are printed and written to OUT/stages.json.
The outputs are not judged: use it on candidates that the harness found correct. Needs a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # the checkout need not be installed
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from avo_tui.domain.candidate import Candidate  # noqa: E402
from avo_tui.domain.task import Configuration  # noqa: E402
from avo_tui.evaluation.backends.base import Context  # noqa: E402
from avo_tui.evaluation.backends.cuda.backend import CudaBackend  # noqa: E402
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled  # noqa: E402
from avo_tui.evaluation.backends.cuda.harness.launch import (  # noqa: E402
    Buffers,
    Module,
    Runner,
)
from avo_tui.evaluation.backends.cuda.launch_plan import LaunchPlan  # noqa: E402
from avo_tui.evaluation.backends.cuda.task import CudaTask  # noqa: E402
from avo_tui.evaluation.candidates import read_candidate  # noqa: E402
from avo_tui.evaluation.sandbox.run import Sandbox  # noqa: E402
from avo_tui.evaluation.tasks import find_tasks  # noqa: E402

QUEUE_CYCLES = 200_000
"""The GPU idles so long before each call: the host has queued all of it by then."""
WARM_ROUNDS = 3

Events = list[tuple[str, torch.cuda.Event, torch.cuda.Event]]
"""What was timed: name of the launch, event before, event after."""


def compile_folder(task: CudaTask, folder: Path) -> CudaCompiled:
    """The candidate of a folder, compiled for this machine's GPU. Raises Rejected."""
    return compile_candidate(task, read_candidate(folder))


def compile_candidate(
    task: CudaTask, candidate: Candidate, architecture: str | None = None
) -> CudaCompiled:
    """Compiles for this machine's GPU, or for an architecture. Raises Rejected."""

    async def work() -> CudaCompiled:
        backend = CudaBackend(architecture=architecture)
        try:
            context = Context(Sandbox(), lambda progress: None, False)
            return await backend.compile(task, candidate, context)
        finally:
            await backend.close()

    return asyncio.run(work())


class Staged:
    """A compiled candidate with buffers for one configuration, each launch apart."""

    def __init__(
        self, task: CudaTask, compiled: CudaCompiled, configuration: Configuration
    ) -> None:
        launch = compiled.launch(configuration)
        plan = LaunchPlan.model_validate(launch["plan"])
        unit = compiled.unit.units[launch["unit"]]
        torch.zeros(1, device="cuda")  # makes the context
        self._module = Module(unit.code, unit.symbols)
        self.buffers = Buffers(task.tensors(configuration), plan.workspaces, 1)
        self._runners = [
            (stage.entry, Runner(self._of(plan, index), self._module, self.buffers))
            for index, stage in enumerate(plan.stages)
        ]
        self._whole = Runner(plan, self._module, self.buffers)
        task.fill(configuration, 1, "normal", self.buffers.inputs)

    def whole(self) -> Events:
        """Queues one run, with no event between launches that may overlap."""
        torch.cuda._sleep(QUEUE_CYCLES)
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        self._whole()
        after.record()
        return [("whole", before, after)]

    @staticmethod
    def _of(plan: LaunchPlan, index: int) -> LaunchPlan:
        """The plan with one stage; the workspaces that ask for it are zeroed before the first."""
        workspaces = {
            name: w if index == 0 else w.model_copy(update={"zero": False})
            for name, w in plan.workspaces.items()
        }
        stages = (plan.stages[index],)
        return plan.model_copy(update={"stages": stages, "workspaces": workspaces})

    def call(self) -> Events:
        """Queues one run with an event between launches."""
        torch.cuda._sleep(QUEUE_CYCLES)
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(self._runners) + 1)]
        marks[0].record()
        found: Events = []
        for number, (name, runner) in enumerate(self._runners):
            runner()
            marks[number + 1].record()
            found.append((name, marks[number], marks[number + 1]))
        return [("whole", marks[0], marks[-1]), *found]

    def free(self) -> None:
        """Gives memory and module back."""
        self.buffers.free()
        self._module.unload()


def interleave(jobs: dict[str, Callable[[], Events]], rounds: int) -> dict[str, dict[str, float]]:
    """Name → launch → median microseconds, every round in another order."""
    samples: dict[str, dict[str, list[float]]] = {}
    order = list(jobs)
    for number in range(WARM_ROUNDS + rounds):
        random.shuffle(order)
        events = {name: jobs[name]() for name in order}
        torch.cuda.synchronize()
        if number < WARM_ROUNDS:
            continue
        for name, timed in events.items():
            for launch, before, after in timed:
                of_job = samples.setdefault(name, {})
                of_job.setdefault(launch, []).append(before.elapsed_time(after) * 1e3)
    return {name: {k: median(v) for k, v in of.items()} for name, of in samples.items()}


def baselines(task: CudaTask, configuration: Configuration) -> dict[str, Callable[[], Events]]:
    """A job for each library implementation that runs here."""
    inputs = task.make_inputs(configuration, 1, "normal")
    jobs: dict[str, Callable[[], Events]] = {}
    for name, function in task.baselines().items():
        if not callable(function):  # one with work of its own that is done once
            continue
        try:
            function(configuration, inputs)
        except RuntimeError as error:
            print(f"{name} does not run on {configuration.name}: {str(error).splitlines()[0]}")
            continue

        def job(function: Any = function) -> Events:
            torch.cuda._sleep(QUEUE_CYCLES)
            before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            before.record()
            function(configuration, inputs)
            after.record()
            return [("whole", before, after)]

        jobs[name] = job
    return jobs


def main(arguments: Sequence[str] | None = None) -> int:
    """Time what was asked for; the exit status is 1 where there is no GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--configuration", action="append", help="all of the task if left out")
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--out", type=Path, help="folder for stages.json")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("this needs an NVIDIA GPU", file=sys.stderr)
        return 1
    task = find_tasks().get(options.task)
    assert isinstance(task, CudaTask), f"{options.task} is not a CUDA task"
    compiled = {folder.name: compile_folder(task, folder) for folder in options.folders}
    table: dict[str, dict[str, dict[str, float]]] = {}
    for configuration in task.configurations:
        if options.configuration and configuration.name not in options.configuration:
            continue
        staged = {name: Staged(task, c, configuration) for name, c in compiled.items()}
        jobs = {**{n: s.call for n, s in staged.items()}, **baselines(task, configuration)}
        table[configuration.name] = interleave(jobs, options.rounds)
        for name, launches in sorted(
            table[configuration.name].items(), key=lambda item: item[1]["whole"]
        ):
            parts = ", ".join(f"{k} {v:.1f}" for k, v in launches.items() if k != "whole")
            print(f"{configuration.name}  {name}: {launches['whole']:.1f} µs  {parts}", flush=True)
        for one in staged.values():
            one.free()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(table, indent=1) + "\n"
        (options.out / "stages.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
