"""Errors in a task's `perturb`: whether what it promises is true by the task's own reference.

A promise that is not true would refuse right kernels, and one that is empty would find no wrong
one; both would be noticed only when a candidate is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.cases import Perturbation
from avo_tui.evaluation.measurement.judge import place
from avo_tui.evaluation.task import CheckCase, Task
from avo_tui.evaluation.task_static_checks import Fault, called
from avo_tui.evaluation.task_value_checks import Shapes, equal, returned_faults

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Tensors

PERTURB = "perturb"
SEED = 12


def perturb_faults(
    task: Task, case: CheckCase, inputs: Tensors, outputs: Shapes, reference: Tensors
) -> Iterator[Fault]:
    """What is wrong with the perturbation of one case; `reference` is of the inputs before it."""
    kept = {name: tensor.clone() for name, tensor in inputs.items()}
    change, faults = called(task, PERTURB, lambda: task.perturb(case.configuration, inputs, SEED))
    yield from faults
    if faults:
        return
    if not isinstance(change, Perturbation):
        yield Fault(
            PERTURB, f"a case of {case.configuration.name} asks for a perturbation, and perturb "
            f"returns {'None' if change is None else type(change).__name__}",
        )  # fmt: skip
        return
    faults = [
        Fault(PERTURB, f"perturb changes its input {name} in place; it must change a clone")
        for name, tensor in kept.items()
        if not equal(tensor, inputs[name])
    ]
    faults = faults or list(_changed_inputs(case, change.inputs, kept))
    faults = faults or list(_masks(change.unaffected, outputs))
    faults = faults or list(_repeated(task, case, kept, change))
    yield from faults or _promise(task, case, change, kept, outputs, reference)


def _changed_inputs(case: CheckCase, changed: Any, inputs: Tensors) -> Iterator[Fault]:
    """They must fit where the inputs themselves do, and differ from them."""
    import torch

    if not isinstance(changed, Mapping):
        kind = type(changed).__name__
        yield Fault(PERTURB, f"perturb gives a {kind} as inputs; it must be a dict")
        return
    for name, tensor in changed.items():
        if name not in inputs:
            yield Fault(PERTURB, f"perturb changes {name!r}, which is no input")
            return
        before = inputs[name]
        if not isinstance(tensor, torch.Tensor):
            yield Fault(PERTURB, f"perturb gives a {type(tensor).__name__} as {name}")
        elif tensor.shape != before.shape:
            yield Fault(
                PERTURB, f"perturb gives {name} of shape {tuple(tensor.shape)}; make_inputs gives "
                f"{tuple(before.shape)} for {case.configuration.name}",
            )  # fmt: skip
        elif tensor.dtype != before.dtype:
            yield Fault(
                PERTURB, f"perturb gives {name} as {dtypes.of(tensor).name}; make_inputs gives "
                f"{dtypes.of(before).name}",
            )  # fmt: skip
        elif not tensor.is_contiguous():
            yield Fault(PERTURB, f"perturb gives {name} that is not contiguous")
        elif _not_finite(tensor, before):
            yield Fault(PERTURB, f"perturb gives {name} with values that are not finite")
        else:
            continue
        return
    if all(equal(tensor, inputs[name]) for name, tensor in changed.items()):
        yield Fault(
            PERTURB, f"perturb changes no input of {case.configuration.name}, so that its cases "
            "would show nothing",
        )  # fmt: skip


def _not_finite(tensor: torch.Tensor, before: torch.Tensor) -> bool:
    """Whether values that were all finite no longer are."""
    if not tensor.is_floating_point():
        return False
    return bool(before.float().isfinite().all()) and not bool(tensor.float().isfinite().all())


def _masks(unaffected: Any, outputs: Shapes) -> Iterator[Fault]:
    """Each must be of truth values and fit its output."""
    import torch

    if not isinstance(unaffected, Mapping) or not unaffected:
        yield Fault(
            PERTURB, "perturb says of no output what stays unaffected: unaffected must be a dict, "
            "output → mask",
        )  # fmt: skip
        return
    for name, mask in unaffected.items():
        if name not in outputs:
            yield Fault(PERTURB, f"perturb names {name!r}, which is no output")
            return
        shape = tuple(outputs[name][0])
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
            kind = mask.dtype if isinstance(mask, torch.Tensor) else type(mask).__name__
            yield Fault(PERTURB, f"the mask of {name} is {kind}; it must be a tensor of torch.bool")
            return
        try:
            fits = torch.broadcast_shapes(mask.shape, shape) == torch.Size(shape)
        except RuntimeError:
            fits = False
        if not fits:
            yield Fault(
                PERTURB, f"the mask of {name} has the shape {tuple(mask.shape)}, which does not "
                f"fit {name} of shape {shape}",
            )  # fmt: skip
            return
        if not bool(mask.any()):
            sentence = f"perturb leaves no value of {name} unaffected: nothing is compared"
            yield Fault(PERTURB, sentence)


def _repeated(
    task: Task, case: CheckCase, inputs: Tensors, change: Perturbation
) -> Iterator[Fault]:
    """Harness and judge each ask for the perturbation: both must get the same."""
    again, faults = called(task, PERTURB, lambda: task.perturb(case.configuration, inputs, SEED))
    yield from faults
    if faults:
        return
    same = (
        isinstance(again, Perturbation)
        and again.inputs.keys() == change.inputs.keys()
        and again.unaffected.keys() == change.unaffected.keys()
        and all(equal(tensor, again.inputs[n]) for n, tensor in change.inputs.items())
        and all(equal(mask, again.unaffected[n]) for n, mask in change.unaffected.items())
    )
    if not same:
        yield Fault(
            PERTURB, "perturb gives two different perturbations for one seed; draw from "
            "torch.Generator().manual_seed(seed)",
        )  # fmt: skip


def _promise(
    task: Task,
    case: CheckCase,
    change: Perturbation,
    inputs: Tensors,
    outputs: Shapes,
    before: Tensors,
) -> Iterator[Fault]:
    """The reference must give finite outputs of the same shapes, unchanged where that is said."""
    import torch

    after: dict[str, Tensors] = {}
    for method, exact in (("reference", False), ("own", True)):
        given = {**inputs, **{name: tensor.clone() for name, tensor in change.inputs.items()}}
        with torch.no_grad():
            value, faults = called(
                task,
                method,
                lambda m=method, g=given: getattr(task, m)(case.configuration, g),  # type: ignore[misc]
            )
        faults = faults or list(returned_faults(method, case, value, outputs, exact))
        for fault in faults:
            sentence = f"on the inputs that perturb gives, {fault.sentence}"
            yield Fault(PERTURB, sentence, fault.line, fault.file)
        if faults:
            return
        after[method] = value
    noticed = False
    for name in outputs:
        first, second = before[name], after["reference"][name]
        if _not_finite(second, first):
            yield Fault(PERTURB, f"on the inputs that perturb gives, {name} is not finite")
            return
        differs = _differs(first, second)
        noticed = noticed or bool(differs.any())
        mask = change.unaffected.get(name)
        if mask is None:
            continue
        mask = mask.to(differs.device).expand(differs.shape)
        wrong = differs & mask
        if count := int(wrong.sum()):
            yield Fault(
                PERTURB, f"perturb says that {int(mask.sum())} values of {name} stay unaffected in "
                f"{case.configuration.name}, and {count} of them change by the task's own "
                f"reference, the first {place(name, wrong)}",
            )  # fmt: skip
            return
    if not noticed and not _all_stay(change, outputs):
        sentence = (
            f"what perturb changes in {case.configuration.name} changes no output at all by the "
            "task's own reference, so that a kernel may ignore those inputs"
        )
        yield Fault(PERTURB, sentence, in_all_cases=True)  # in a single case it may be chance


def _differs(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Where two results of the reference differ by more than their rounding can explain: by more
    than half of the digits that their dtype has, relative to their root mean square."""
    import torch

    if not (first.is_floating_point() or first.is_complex()):
        return first != second
    wide = first.double() if first.is_floating_point() else first.to(torch.complex128)
    apart = (wide - second.to(wide.dtype)).abs()
    size = wide.abs()
    scale = float(size[size.isfinite()].square().mean().sqrt()) if size.isfinite().any() else 0.0
    room = torch.finfo(first.dtype).eps ** 0.5 * scale
    both_the_same = (first == second) | (first.isnan() & second.isnan())
    return ~both_the_same & ~(apart <= room)


def _all_stay(change: Perturbation, outputs: Shapes) -> bool:
    """Whether no output may notice the change anywhere, as of padding that nothing may read."""
    return all(
        name in change.unaffected and bool(change.unaffected[name].all()) for name in outputs
    )
