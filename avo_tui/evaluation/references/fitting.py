"""Finds the kinds of inputs on which a derived reference gives results to judge by."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from avo_tui.evaluation.measurement.cases import NOT_FINITE
from avo_tui.evaluation.measurement.near_ties import jumping
from avo_tui.evaluation.references.distributions import DISTRIBUTIONS, distribute
from avo_tui.evaluation.references.sample import BadReferenceError, ReferenceSample
from avo_tui.evaluation.references.source import Reference, in_double
from avo_tui.evaluation.references.spec import Sizes

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
    from avo_tui.evaluation.references.numbers import plain_numbers

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
            exact = _exact(reference, sizes, plain, numbers)
        except Exception as error:
            if kind == "normal":
                raise _does_not_run(error) from error
            continue
        if kind == NOT_FINITE:
            fits = _same_gaps(plain, own, exact)
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
    why = " ".join(str(error).split())[:200]
    return BadReferenceError(f"the reference does not run: {type(error).__name__}: {why}")


def _same_gaps(plain: Tensors, own: Tensors, exact: Tensors) -> bool:
    """Whether what is not finite stays where it is, as in what is computed element by element.

    Where it spreads, a good kernel that adds in another order may spread it otherwise.
    """
    entered = sum(int((~t.isfinite()).sum()) for t in plain.values() if t.is_floating_point())
    for name, tensor in own.items():
        if not tensor.is_floating_point():
            return False
        wide, gaps = exact[name].to(tensor.dtype), ~tensor.isfinite()
        same = (wide == tensor) | (wide.isnan() & tensor.isnan())
        if int(gaps.sum()) > entered or not bool(same[gaps].all()):
            return False
        kept = ~(gaps | ~wide.isfinite())
        if not bool(gaps.any()) or not _sane({name: tensor[kept]}, {name: exact[name][kept]}):
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
