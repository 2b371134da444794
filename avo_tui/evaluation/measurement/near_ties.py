"""Outputs that jump: where a reference chooses between numbers that are nearly equal.

Top-k, sort, argmax, comparisons and rounding give another result where two numbers change places,
and rounding alone may make them do so. Such an output is judged only where the reference is sure:
where moving its inputs a little does not change it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from avo_tui.evaluation.measurement import dtypes

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]
    Compute = Callable[[Tensors], Tensors]

MOVED_BY = 256
"""Relative move of single and double precision inputs, in units of their epsilon: several times
what adding thousands of products one after the other may be off by."""
MOVED_BY_SHORT = 2
"""The same for half precision, whose kernels add in single precision."""
PAIRS = 4
"""Moves that are tried, each with its opposite. Of two numbers that are nearly equal, one of the
two opposites makes them change places unless it moves both alike."""
MOST_UNSURE = 0.5
"""Part of an output that may be unsure; beyond it everything counts, or nothing would be judged."""
STEPS, HALVINGS = 16, 14
"""How finely the way from one set of inputs to another is looked at for a jump."""
JUMP = 0.1
"""Part of the largest step that is left after all halvings where there is a jump."""


def jumping(compute: Compute, start: Tensors, end: Tensors) -> tuple[str, ...]:
    """The outputs that jump somewhere on the straight way from one set of inputs to another.

    Only floating-point inputs change on the way. `compute` is the reference.
    """
    import torch

    moving = [n for n, t in start.items() if t.is_floating_point()]
    if not moving:
        return ()

    def at(share: float) -> Tensors:
        ends = {n: torch.lerp(start[n].double(), end[n].double(), share) for n in moving}
        outputs = compute({**start, **ends})
        return {n: t.double() for n, t in outputs.items() if not t.is_complex()}

    way = [at(step / STEPS) for step in range(STEPS + 1)]
    return tuple(name for name in way[0] if _jumps(name, way, at))


def _jumps(name: str, way: list[Tensors], at: Callable[[float], Tensors]) -> bool:
    """Whether the element that changes most in one step changes as much in ever smaller ones."""
    steps = [(b[name] - a[name]).abs().nan_to_num(0.0) for a, b in itertools.pairwise(way)]
    if not steps[0].numel():
        return False
    widest = max(range(len(steps)), key=lambda i: float(steps[i].max()))
    element = int(steps[widest].argmax())
    first = left = float(steps[widest].max())
    low, high = widest / STEPS, (widest + 1) / STEPS
    below, above = (float(way[widest + i][name].flatten()[element]) for i in (0, 1))
    for _ in range(HALVINGS):
        if left <= 0:
            return False
        middle = (low + high) / 2
        value = float(at(middle)[name].flatten()[element])
        if abs(value - below) >= abs(above - value):
            high, above = middle, value
        else:
            low, below = middle, value
        left = abs(above - below)
    return left > JUMP * first


class NearTies:
    """Where the outputs of one set of inputs are unsure; computed when first asked for."""

    def __init__(self, compute: Compute, inputs: Tensors, reference: Tensors) -> None:
        """`reference` is what `compute` gives for `inputs`."""
        self._compute, self._inputs, self._reference = compute, inputs, reference
        self._moved: list[Tensors] | None = None

    def unsure(self, name: str, limit: torch.Tensor | None) -> torch.Tensor | None:
        """Mask of the elements that a small move of the inputs changes; None where no part is, or
        too large a part.

        An element has changed where it is off by more than `limit`; without one, at all.
        """
        import torch

        reference = self._reference[name]
        mask = torch.zeros(reference.shape, dtype=torch.bool, device=reference.device)
        for moved in self._all_moved():
            difference = moved[name] != reference
            if limit is not None:
                difference &= ~((moved[name] - reference).abs() <= limit)
            mask |= difference
        share = float(mask.double().mean()) if mask.numel() else 0.0
        return mask if 0 < share <= MOST_UNSURE else None

    def _all_moved(self) -> list[Tensors]:
        if self._moved is None:
            ways = [(seed, sign) for seed in range(PAIRS) for sign in (1.0, -1.0)]
            self._moved = []
            if any(_movable(t) for t in self._inputs.values()):
                self._moved = [self._compute(moved(self._inputs, *way)) for way in ways]
        return self._moved


def may_jump(name: str, dtype: str, named: Collection[str]) -> bool:
    """Whether near ties count for an output: whole numbers and truth values, and what is `named`
    by the task."""
    return name in named or dtypes.dtype(dtype).exact


def jumping_text(names: Sequence[str]) -> str:
    """What is said of outputs that jump between near ties."""
    s = "s" if len(names) == 1 else ""
    return (
        f"{', '.join(f'`{name}`' for name in names)} jump{s} where the reference chooses between"
        " numbers that are nearly equal: judged only where rounding cannot change the choice."
    )


def _movable(tensor: torch.Tensor) -> bool:
    return bool(tensor.is_floating_point() and tensor.element_size() >= 2)


def moved(inputs: Tensors, seed: int, sign: float) -> Tensors:
    """Every number moved by some units of its epsilon; equal numbers stay equal, and zero zero.

    So what compares inputs as they are, such as an argmax of equal numbers, stays sure.
    """
    import torch

    result = {}
    for name, tensor in inputs.items():
        if not _movable(tensor):
            result[name] = tensor
            continue
        units = MOVED_BY if tensor.element_size() >= 4 else MOVED_BY_SHORT
        step = sign * units * torch.finfo(tensor.dtype).eps
        wide = tensor.double()
        # a sign for each number, by its bits: mixed, so that neighbours get different ones
        mixed = dtypes.bits(wide) * 0x5851F42D4C957F2D + (2 * seed + 1) * 0x14057B7EF767814F
        mixed = (mixed ^ (mixed >> 29)) * 0x369DEA0F31A53F85
        up = (mixed >> 40) & 1
        result[name] = (wide * (1 + step * (2 * up - 1))).to(tensor.dtype)
    return result
