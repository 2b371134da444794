"""Finds an axis along which a reference's last slice of inputs reaches no other slice of outputs.

A task's check uses it: a kernel whose row 3 changes when only row 7 of the inputs does reads what
it must not read, or keeps something from run to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avo_tui.evaluation.references.spec import Case, ReferenceSpec, Slices

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.references.source import Reference

    Tensors = dict[str, torch.Tensor]


def changed_last_slice(slices: Slices, inputs: Tensors, other: Tensors) -> Tensors:
    """`inputs` whose last slice along the axis is that of `other`, which has the same shapes."""
    import torch

    changed = dict(inputs)
    for name, dimension in slices.inputs.items():
        fresh = inputs[name].clone()
        last = fresh.shape[dimension] - 1
        taken = torch.narrow(other[name], dimension, last, 1)
        torch.narrow(fresh, dimension, last, 1).copy_(taken)
        changed[name] = fresh
    return changed


def all_but_last(slices: Slices, shapes: dict[str, tuple[int, ...]]) -> Tensors:
    """Output → mask that is true everywhere but in the last slice along the axis."""
    import torch

    masks = {}
    for name, dimension in slices.outputs.items():
        mask = torch.ones(shapes[name], dtype=torch.bool)
        torch.narrow(mask, dimension, shapes[name][dimension] - 1, 1).fill_(False)
        masks[name] = mask
    return masks


def independent_slices(reference: Reference, spec: ReferenceSpec) -> Slices | None:
    """The first axis whose last slice was seen to matter to no other; None without one.

    Runs the reference in double precision on its smallest case where the axis has two slices.
    """
    cases = sorted((*spec.hidden, *spec.scored), key=lambda case: case.flops)
    for axis in spec.axes:
        slices = _along(spec, axis)
        case = telling_case(cases, axis)
        if slices is not None and case is not None and _holds(reference, spec, slices, case):
            return slices
    return None


def telling_case(cases: Sequence[Case], axis: str) -> Case | None:
    """The first case with two slices along the axis, if possible of sizes that are all above 1.

    Where another axis is 1, outputs may be constant, as those of a softmax.
    """
    wide = [case for case in cases if min(case.sizes.values()) >= 2]
    return next((case for case in (*wide, *cases) if case.sizes[axis] >= 2), None)


def _along(spec: ReferenceSpec, axis: str) -> Slices | None:
    """Which dimension of each tensor has the axis' size in every case; None if an output lacks it.

    Inputs that are neither floats nor plain numbers are left as they are: indices and masks have
    meanings that another draw's slice may break.
    """
    cases = (*spec.scored, *spec.hidden)
    dimensions: dict[str, int] = {}
    for tensor in spec.tensors:
        ranks = range(len(cases[0].shapes[tensor.name]))
        fitting = [
            d for d in ranks if all(c.shapes[tensor.name][d] == c.sizes[axis] for c in cases)
        ]
        varying = [d for d in fitting if len({c.shapes[tensor.name][d] for c in cases}) > 1]
        if len(varying) == 1:
            dimensions[tensor.name] = varying[0]
    outputs = {t.name: dimensions.get(t.name, -1) for t in spec.of_role("output")}
    inputs = {
        t.name: dimensions[t.name]
        for t in spec.of_role("input")
        if t.name in dimensions
        and (t.name in spec.numbers or t.dtype.startswith(("float", "bfloat", "complex")))
    }
    if not inputs or min(outputs.values()) < 0:
        return None
    return Slices(axis=axis, inputs=inputs, outputs=outputs)


def _holds(reference: Reference, spec: ReferenceSpec, slices: Slices, case: Case) -> bool:
    """Whether all other slices of the outputs keep their bits where the last input slice changes.

    False as well where nothing changes at all: then nothing would be tested.
    """
    import torch

    from avo_tui.evaluation.references.source import in_double

    sizes = {**spec.overrides, **case.sizes}
    try:
        drawn, other = (reference.draw(sizes, seed, "cpu") for seed in (7, 8))
        inputs = {**drawn.inputs, **drawn.weights}
        changed = changed_last_slice(slices, inputs, other.inputs)
        before, after = (in_double(reference, sizes, 7, t) for t in (inputs, changed))
    except Exception:  # nothing can be said of a reference that does not run at these sizes
        return False
    moved = False
    for name, mask in all_but_last(slices, dict(case.shapes)).items():
        same = (before[name] == after[name]) | (before[name].isnan() & after[name].isnan())
        if not bool(same[mask].all()):
            return False
        moved = moved or not bool(torch.all(same))
    return moved
