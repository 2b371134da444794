"""What a reference's own inputs are turned into, so that a kernel sees more than one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DISTRIBUTIONS = {
    "normal": "inputs as the reference draws them",
    "small": "inputs of small magnitude",
    "large": "inputs of large magnitude",
    "shifted": "inputs with a common offset",
    "outliers": "inputs with outliers",
}
"""Kind of inputs → what it is about, in words that may be told of a hidden case."""


def distribute(inputs: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """New floating-point inputs of that kind; others stay. Raises ValueError for an unknown kind.

    Masks, indices and flags keep their meaning: only floating-point tensors are changed.
    """
    if kind not in DISTRIBUTIONS:
        raise ValueError(f"there is no distribution {kind!r}; there are {', '.join(DISTRIBUTIONS)}")
    if kind == "normal":
        return inputs
    changed = {}
    for name, tensor in inputs.items():
        if not tensor.is_floating_point() or tensor.element_size() < 2:
            changed[name] = tensor
        elif kind == "outliers":
            fresh = tensor.clone()
            fresh.view(-1)[::97].mul_(20.0)
            changed[name] = fresh
        else:
            scale = {"small": 0.05, "large": 6.0, "shifted": 1.0}[kind]
            changed[name] = tensor * scale + (2.0 if kind == "shifted" else 0.0)
    return changed
