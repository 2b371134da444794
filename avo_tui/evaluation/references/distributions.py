"""What a reference's own inputs are turned into, so that a kernel sees more than one kind."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from avo_tui.evaluation.measurement.cases import MASKED, NOT_FINITE

if TYPE_CHECKING:
    import torch

DISTRIBUTIONS = {
    "normal": "inputs as the reference draws them",
    "small": "inputs of small magnitude",
    "large": "inputs of large magnitude",
    "shifted": "inputs with a common offset",
    "outliers": "inputs with outliers",
    "lone_row": "one row that is unlike all others",
    "lone_value": "one huge value among plain ones",
    "twin_values": "rows in which two values are far above all others",
    "zero_row": "a row of zeros",
    "ties": "values of which many are equal",
    "far_below": "values that are all far below zero",
    "offset": "values with an offset that is large beside their differences",
    "huge": "inputs of a magnitude at which intermediate results may overflow",
    MASKED: "rows of which all or all but one value are minus infinity",
    NOT_FINITE: "infinities, and numbers that are not defined",
}
"""Kind of inputs → what it is about, in words that may be told of a hidden case."""


VARIED_BY = 0.25
"""Share by which the elements of a constant weight are varied; absolute where it is zero."""


def vary_constants(weights: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """Weights of which none has the same number everywhere.

    A module initialises scales with one and offsets with zero: a kernel that left them out would
    give right results. Floating-point weights that are constant are multiplied by numbers from
    0.75 to 1.25 (so that variances stay positive), zeros replaced by numbers from -0.25 to 0.25,
    the same for the same seed. All others stay, and so do tensors without data (device `meta`).
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    varied = {}
    for name, tensor in weights.items():
        plain = tensor.is_floating_point() and tensor.element_size() >= 2
        if plain and tensor.numel() and tensor.device.type != "meta":
            first = float(tensor.reshape(-1)[0])
            if math.isfinite(first) and bool((tensor == first).all()):
                share = torch.rand(tensor.shape, generator=generator) * 2 * VARIED_BY - VARIED_BY
                numbers = first * (1 + share) if first else share
                varied[name] = numbers.to(device=tensor.device, dtype=tensor.dtype)
                continue
        varied[name] = tensor
    return varied


def distribute(
    inputs: dict[str, torch.Tensor], kind: str, numbers: Collection[str] = ()
) -> dict[str, torch.Tensor]:
    """New inputs of that kind. Raises ValueError for an unknown kind.

    Masks, indices and flags keep their meaning: only floating-point tensors are changed, and those
    whole numbers that are named in `numbers`.
    """
    if kind not in DISTRIBUTIONS:
        raise ValueError(f"there is no distribution {kind!r}; there are {', '.join(DISTRIBUTIONS)}")
    if kind == "normal":
        return inputs
    changed = {}
    for name, tensor in inputs.items():
        if name in numbers and kind in _OF_WHOLE_NUMBERS:
            changed[name] = _whole_numbers(tensor, kind)
        elif not tensor.is_floating_point() or tensor.element_size() < 2:
            changed[name] = tensor
        else:
            changed[name] = _floats(tensor, kind)
    return changed


_OF_WHOLE_NUMBERS = {"small", "large", "shifted", "outliers"}
_SCALED = {
    "small": (0.05, 0.0), "large": (6.0, 0.0), "shifted": (1.0, 2.0), "far_below": (1.0, -400.0),
    "offset": (1.0, 200.0), "huge": (1e4, 0.0),
}  # fmt: skip
"""Kind → what numbers are multiplied by, and what is added then."""


def _floats(tensor: torch.Tensor, kind: str) -> torch.Tensor:
    """Floating-point numbers of that kind. What is unlike the rest stands at a place that follows
    from the numbers, and nowhere else."""
    import torch

    if kind in _SCALED:
        scale, offset = _SCALED[kind]
        return tensor * scale + offset
    if kind == "ties":
        return (tensor * 2).round() / 2
    fresh = tensor.clone()
    if not fresh.numel():
        return fresh
    flat = fresh.view(-1)
    meta = fresh.device.type == "meta"
    unlike = 0 if meta else int(flat[: 1 << 16].double().abs().argmax())
    if kind == "outliers":
        flat[::97].mul_(20.0)
    elif kind == "lone_value":
        flat[unlike] = 300.0
    elif kind == "twin_values":
        rows = fresh.view(-1, fresh.shape[-1]) if fresh.dim() else fresh.view(1, 1)
        for column, value in ((rows.argmin(-1), 299.0), (rows.argmax(-1), 300.0)):
            rows.scatter_(-1, column[:, None], value)
    elif kind == NOT_FINITE:
        flat[unlike], flat[unlike // 2] = math.inf, math.nan
    else:
        rows = fresh.view(-1, fresh.shape[-1]) if fresh.dim() else fresh.view(1, 1)
        number = unlike // rows.shape[-1]
        row = rows[number]
        if kind == MASKED:
            places = torch.arange(len(row), device=row.device)
            middle = len(row) // 2
            # a row whose first half is masked, so that whole tiles come before its value, and the
            # other way round
            for after, begin, end in ((2, 0, middle or 1), (1, middle, len(row))):
                beside = rows[(number + after) % len(rows)]
                kept = begin + beside[begin:end].argmax()
                beside.masked_fill_(places != kept, -math.inf)
            row.fill_(-math.inf)
            return fresh
        # a row whose exponentials overflow, or whose squares are beyond what a cap lets through
        row.copy_(torch.zeros_like(row) if kind == "zero_row" else row * 30.0 + 90.0)
    return fresh


MOST = 1 << 33
"""Largest value given to inputs of 64-bit whole numbers: beyond what 32 bits hold, so that a kernel
that computes in 32 bits is seen, while sums of many still fit."""


def _whole_numbers(tensor: torch.Tensor, kind: str) -> torch.Tensor:
    """Whole numbers of that kind, within their dtype; negative ones only where there were some.

    Small ones are all 0 and 1 (or -1, 0, 1), so that many are equal; large ones reach a quarter of
    the dtype's limit, so that sums in the same dtype may overflow; outliers reach the limit.
    """
    import torch

    limits = torch.iinfo(tensor.dtype)
    top = min(limits.max, MOST)
    wide = tensor.long()
    signed = bool((wide < 0).any())
    if kind == "small":
        wide = wide % 3 - 1 if signed else wide % 2
    elif kind == "large":
        wide = wide * max(1, top // 4 // max(1, int(wide.abs().max())))
    elif kind == "shifted":
        wide = wide + math.isqrt(top)
    else:
        wide = wide.clone()
        wide.view(-1)[::97] = top
        if signed:
            wide.view(-1)[::194] = -top
    return wide.clamp(max(limits.min, -top), top).to(tensor.dtype)


FAMILIES = {
    "attention-like": ("scaled_dot_product", "_attention"),
    "softmax": ("softmax", "logsumexp"),
    "normalisation": ("_norm", "rsqrt", "var", "std"),
    "convolution": ("convolution", "conv_"),
    "pooling": ("_pool",),
    "scan": ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"),
    "comparison": ("argmax", "argmin", "topk", "sort", "max", "min", "where", "gt", "lt", "ge",
                   "le", "clamp", "relu"),
    "product": ("mm", "bmm", "addmm", "dot", "mv"),
    "reduction": ("sum", "mean", "prod", "amax", "amin", "any", "all"),
}  # fmt: skip
"""Family → names, or parts that begin or end with an underscore, of torch's operations."""

UNORDERED = frozenset(
    {"topk", "sort", "argsort", "kthvalue", "mode", "median", "unique", "multinomial"}
)
"""Operations whose choice between equal numbers torch leaves open."""

TIED = frozenset({"ties", "zero_row", "far_below", MASKED})
"""Kinds of inputs that bring equal numbers, which are left out where that choice is open."""


def families(operations: Iterable[str]) -> tuple[str, ...]:
    """The families that these operations belong to, in the order of `FAMILIES`."""
    names = set(operations)
    return tuple(family for family, parts in FAMILIES.items() if any(_is(n, parts) for n in names))


def masks_rows(named: Iterable[str]) -> bool:
    """Whether rows of minus infinity are part of what these families of operations compute: not
    where they spread to other elements, or are subtracted from each other."""
    return not {"softmax", "comparison", "reduction"}.isdisjoint(named) and {
        "normalisation", "convolution", "product", "scan",
    }.isdisjoint(named)  # fmt: skip


def leaves_order_open(operations: Iterable[str]) -> bool:
    """Whether one of these operations may choose any of equal numbers."""
    return not UNORDERED.isdisjoint(operations)


def _is(name: str, parts: Iterable[str]) -> bool:
    plain = name.strip("_")
    return any(part in name if "_" in part or len(part) > 5 else plain == part for part in parts)
