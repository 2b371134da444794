"""What kinds of operations a reference is made of, and what a check adds because of them."""

from __future__ import annotations

from collections.abc import Iterable

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

TIED = frozenset({"ties", "zero_row", "far_below"})
"""Kinds of inputs that bring equal numbers, which are left out where that choice is open."""


def families(operations: Iterable[str]) -> tuple[str, ...]:
    """The families that these operations belong to, in the order of `FAMILIES`."""
    names = set(operations)
    return tuple(family for family, parts in FAMILIES.items() if any(_is(n, parts) for n in names))


def leaves_order_open(operations: Iterable[str]) -> bool:
    """Whether one of these operations may choose any of equal numbers."""
    return not UNORDERED.isdisjoint(operations)


def _is(name: str, parts: Iterable[str]) -> bool:
    plain = name.strip("_")
    return any(part in name if "_" in part or len(part) > 5 else plain == part for part in parts)
