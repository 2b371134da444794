"""Checking in the worker: computes references and judges outputs, never in the child process."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.cases import CheckCase, noticed
from avo_tui.evaluation.measurement.judge import Judgement, judge
from avo_tui.evaluation.pool import make_expected

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Taken:
    """Outputs copied out of the shared memory, still to be judged."""

    configuration: Configuration
    distribution: str
    seed: int
    outputs: dict[str, torch.Tensor]
    perturbed: dict[str, torch.Tensor] | None = None


def take(
    task: CudaTask,
    shared: mmap.mmap,
    offsets: dict[str, int],
    configuration: Configuration,
) -> dict[str, torch.Tensor]:
    """Copies outputs out of the shared memory, so that the child may go on."""
    import torch

    tensors = {}
    for spec in task.tensors(configuration):
        if spec.output:
            start = offsets[spec.name]
            raw = torch.frombuffer(shared, dtype=torch.uint8, count=spec.bytes, offset=start)
            tensors[spec.name] = raw.clone().view(dtypes.torch_dtype(spec.dtype)).view(spec.shape)
    return tensors


def judge_outputs(task: CudaTask, taken: Taken) -> Judgement:
    """Makes inputs and references on the worker's own context and compares."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    inputs = task.make_inputs(taken.configuration, taken.seed, taken.distribution)
    every = make_expected(task, taken.configuration, inputs)
    worst = Judgement(0.0)
    for name, out in taken.outputs.items():
        expected = every[name]
        judged = judge(name, out.to(expected.reference.device), expected)
        if judged.error >= worst.error:
            worst = judged
        if not judged.ok:
            break
    del every
    if worst.ok and taken.perturbed is not None:
        change = task.perturb(taken.configuration, inputs, taken.seed)
        if change is not None:
            worst = noticed(change, taken.outputs, taken.perturbed) or worst
    return worst


def warm_up() -> None:
    """Makes this process's GPU context and loads the libraries, so that the first case is quick."""
    import torch

    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")


def expected_seconds(task: CudaTask, case: CheckCase, slowest: float) -> float:
    """How long a run may take before it counts as hanging; `slowest` in operations per second."""
    runs = 1 + int(case.repeat) + int(case.perturb)
    return task.patience + runs * task.flops(case.configuration) / slowest
