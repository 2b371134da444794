"""What is learned from runs of a reference with data: kinds of inputs that it gives results for,
outputs that jump, and an axis along which its slices are independent.

A task's check uses the last: a kernel whose row 3 changes when only row 7 of the inputs does reads
what it must not read, or keeps something from run to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from avo_tui.evaluation.measurement.cases import HOLDING_INFINITIES, MASKED
from avo_tui.evaluation.measurement.near_ties import jumping
from avo_tui.evaluation.references.distributions import DISTRIBUTIONS, distribute
from avo_tui.evaluation.references.source import (
    BadReferenceError,
    Reference,
    ReferenceSample,
    in_double,
)
from avo_tui.evaluation.references.spec import Case, ReferenceSpec, Sizes, Slices
from avo_tui.evaluation.task_static_checks import one_line

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

_DRAWS = (7, 8, 9, 10)
"""Seeds of the draws between which it is looked for jumps."""


def fitting_distributions(
    reference: Reference, sizes: Sizes, names: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(inputs that are plain whole numbers, kinds of inputs); `names` are the inputs.

    Raises BadReferenceError where the reference does not run with data at these sizes.
    """
    from avo_tui.evaluation.references.watching import plain_numbers

    numbers = plain_numbers(_drawn(reference, sizes), names)
    return numbers, _kinds(reference, sizes, names, numbers)


def _kinds(
    reference: Reference, sizes: Sizes, names: list[str], numbers: tuple[str, ...]
) -> tuple[str, ...]:
    """Those on which the reference is finite, and in f64 what it is in its own dtype.

    A kind whose inputs are those of `normal` is none: so are all of inputs that are indices.
    """
    import torch

    fitting = []
    for kind in DISTRIBUTIONS:
        try:
            drawn = reference.draw(sizes, 7, "cpu")
            values = distribute({n: drawn.inputs[n] for n in names}, kind, numbers)
            if kind != "normal" and all(torch.equal(values[n], drawn.inputs[n]) for n in names):
                continue
            plain = {**drawn.inputs, **drawn.weights, **values}
            with torch.no_grad():
                own = drawn.outputs(plain)
        except Exception as error:
            if kind == "normal":
                raise _does_not_run(error) from error
            continue
        try:
            exact = _exact(reference, sizes, plain, numbers)
        except Exception as error:
            if kind == "normal":
                raise BadReferenceError(
                    "the reference runs with its own dtypes alone, and what a kernel computes is "
                    f"compared with it in 64 bits ({one_line(error)}): write it with operations "
                    "that take any dtype, such as a.float() @ b.float()"
                ) from error
            continue
        if kind in HOLDING_INFINITIES:
            fits = _same_gaps(plain, own, exact, at_all=kind != MASKED)
        else:
            fits = kind == "normal" or _sane(own, exact)
        if fits:
            fitting.append(kind)
    return tuple(fitting)


def jumping_outputs(reference: Reference, sizes: Sizes) -> tuple[str, ...]:
    """The outputs that jump on the way from one draw of inputs and weights to another."""
    drawn = [reference.draw(sizes, seed, "cpu") for seed in _DRAWS]
    every = [{**one.inputs, **one.weights} for one in drawn]
    every_name: dict[str, None] = {}
    for start, end in pairwise(every):
        try:
            names = jumping(lambda tensors: in_double(reference, sizes, 7, tensors), start, end)
        except Exception:  # such as inputs that may not lie between two draws
            return ()
        every_name.update(dict.fromkeys(names))
    return tuple(every_name)


def _exact(
    reference: Reference, sizes: Sizes, plain: dict[str, torch.Tensor], numbers: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """The outputs in f64, plain whole numbers included, so that no sum of them overflows; those in
    64 bits where the reference takes no floats for them."""
    try:
        wide = {n: t.double() if n in numbers else t for n, t in plain.items()}
        return in_double(reference, sizes, 7, wide)
    except Exception:  # such as an operation on bits
        wide = {n: t.long() if n in numbers else t for n, t in plain.items()}
        return in_double(reference, sizes, 7, wide)


def _drawn(reference: Reference, sizes: Sizes) -> ReferenceSample:
    """One set of inputs. Raises BadReferenceError where the reference cannot draw them."""
    try:
        return reference.draw(sizes, 7, "cpu")
    except Exception as error:
        raise _does_not_run(error) from error


def _does_not_run(error: Exception) -> BadReferenceError:
    if isinstance(error, BadReferenceError):
        return error
    why = f"{type(error).__name__}: {one_line(error)}"
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        why = "leave torch.compile out of it; --compiled times it as a baseline"
    return BadReferenceError(f"the reference does not run: {why}")


def _same_gaps(plain: Tensors, own: Tensors, exact: Tensors, *, at_all: bool) -> bool:
    """Whether what is not finite stays where it is, as in what is computed element by element.

    `at_all`: whether the outputs must have some of it.
    Where it spreads, a good kernel that adds in another order may spread it otherwise.
    """
    import torch

    entered = sum(int((~t.isfinite()).sum()) for t in plain.values() if t.is_floating_point())
    for name, tensor in own.items():
        if not tensor.is_floating_point():
            if at_all or not torch.equal(tensor, exact[name].to(tensor.dtype)):
                return False
            continue
        wide, gaps = exact[name].to(tensor.dtype), ~tensor.isfinite()
        same = (wide == tensor) | (wide.isnan() & tensor.isnan())
        if int(gaps.sum()) > entered or not bool(same[gaps].all()):
            return False
        kept = ~(gaps | ~wide.isfinite())
        if (at_all and not bool(gaps.any())) or not _sane(
            {name: tensor[kept]}, {name: exact[name][kept]}
        ):
            return False
    return True


def _sane(own: dict[str, torch.Tensor], exact: dict[str, torch.Tensor]) -> bool:
    import torch

    for name, tensor in own.items():
        if tensor.dtype == torch.bool or tensor.is_complex():
            continue
        wide, narrow = exact[name].double(), tensor.double()
        if not tensor.is_floating_point():
            if bool(((wide - narrow).abs() > 0.5 + 1e-9 * wide.abs()).any()):
                return False  # a sum of whole numbers left its dtype's range
            continue
        if not bool(wide.isfinite().all()) or not bool(narrow.isfinite().all()):
            return False
        scale = float(wide.square().mean().sqrt())
        if not scale or float((wide - narrow).square().mean().sqrt()) > 0.02 * scale:
            return False
    return True


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
