"""The worker's side of checking: references made here, outputs judged here, never in the child."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.judge import POISON, Judgement, judge
from avo_tui.evaluation.backends.cuda.task import CudaTask, torch_dtype
from avo_tui.evaluation.task import CheckCase

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

    found = {}
    for spec in task.tensors(configuration):
        if spec.output:
            start = offsets[spec.name]
            raw = torch.frombuffer(shared, dtype=torch.uint8, count=spec.bytes, offset=start)
            found[spec.name] = raw.clone().view(torch_dtype(spec.dtype)).view(spec.shape)
    return found


def judge_outputs(task: CudaTask, taken: Taken) -> Judgement:
    """Makes inputs and references on the worker's own context and compares."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    inputs = task.make_inputs(taken.configuration, taken.seed, taken.distribution)
    reference = task.reference(taken.configuration, inputs)
    own = task.own(taken.configuration, inputs)
    worst = Judgement(ok=True, error=0.0)
    for name, out in taken.outputs.items():
        on_device = out.to(reference[name].device)
        found = judge(name, on_device, reference[name], own[name], task.tolerance, POISON)
        if found.error >= worst.error:
            worst = found
        if not found.ok:
            break
    del reference, own
    if worst.ok and taken.perturbed is not None:
        worst = _leak(task, taken, inputs) or worst
    return worst


def _leak(task: CudaTask, taken: Taken, inputs: dict[str, Any]) -> Judgement | None:
    """What changed although it must not depend on what was changed; None where nothing did."""
    import torch

    change = task.perturb(taken.configuration, inputs, taken.seed)
    if change is None or taken.perturbed is None:
        return None
    for name, mask in change.unaffected.items():
        before = taken.outputs[name].view(torch.int16).to(mask.device)
        after = taken.perturbed[name].view(torch.int16).to(mask.device)
        differs = (before != after) & mask
        count = int(differs.sum())
        if count:
            place = [int(i) for i in differs.nonzero()[0]]
            return Judgement(
                ok=False,
                error=float("inf"),
                detail=f"{change.meaning}: {count} elements of {name} differ in bits, the first "
                f"{name}[{', '.join(map(str, place))}]",
                reason=f"Bits of {name} differ where nothing may: {change.meaning}.",
            )
    return None


def warm_up() -> None:
    """Makes this process's GPU context and loads the libraries, so that the first case is quick."""
    import torch

    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")


def expected_seconds(task: CudaTask, case: CheckCase, slowest: float) -> float:
    """How long a run may take before it counts as hanging; `slowest` in operations per second."""
    runs = 1 + int(case.repeat) + int(case.perturb)
    return task.patience + runs * task.flops(case.configuration) / slowest
