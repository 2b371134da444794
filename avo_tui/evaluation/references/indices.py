"""Draws the index inputs of attention over paged and ragged batches, by their customary names.

A definition of FlashInfer-Bench gives the dtype and shape of `kv_indptr` and its kind, not what
their values mean; its workloads bring the values as files. The names are those of FlashInfer's
interface: offsets (`…indptr`, `cu_seqlens`) rise from 0 to a total, `…indices` and `block_table`
number pages, `…last_page_len` counts the tokens of a last page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from avo_tui.evaluation.references.spec import Sizes

if TYPE_CHECKING:
    import torch

_EQUATION = re.compile(r"(\w+) == (\w+) \+ (\d+)")
_TOTAL = re.compile(r"(\w+) == (\w+)\[-1\]\.item\(\)")


class IndexInputs:
    """How the whole-number inputs of one definition are drawn."""

    def __init__(self, constraints: list[str], axes: frozenset[str]) -> None:
        """`constraints` are the definition's own; those of other forms are passed over."""
        self._sums: dict[str, tuple[str, int]] = {}
        self._totals: dict[str, str] = {}
        for text in constraints:
            if match := _EQUATION.fullmatch(text):
                longer, shorter, more = match.groups()
                if {longer, shorter} <= axes:
                    self._sums[longer] = (shorter, int(more))
            elif match := _TOTAL.fullmatch(text):
                self._totals[match[2]] = match[1]

    @property
    def implied(self) -> frozenset[str]:
        """Axes whose size follows from another's."""
        return frozenset(self._sums)

    def complete(self, sizes: Sizes) -> Sizes:
        """The sizes, with those that follow from others."""
        return {**sizes, **{n: sizes[of] + more for n, (of, more) in self._sums.items()}}

    def counted_by(self, axis: str) -> frozenset[str]:
        """The axis itself, and the one that its size follows from."""
        return frozenset({axis, self._sums.get(axis, (axis, 0))[0]})

    def knows(self, name: str) -> bool:
        """Whether the meaning of an input of that name is known."""
        return name in self._totals or _bounds(name, {}) is not None

    def draw(
        self, name: str, shape: list[int], sizes: Sizes, generator: torch.Generator
    ) -> torch.Tensor:
        """Values of an input that `knows` is true for, as int64."""
        import torch

        if name in self._totals:
            return _offsets(shape[0], sizes[self._totals[name]], generator)
        bounds = _bounds(name, sizes)
        assert bounds is not None
        first, last = bounds
        device = generator.device
        if last - first >= shape[-1] > 1 and name.endswith("indices"):
            rows = [
                torch.randperm(last - first, generator=generator, device=device)[: shape[-1]]
                for _ in range(max(1, math.prod(shape[:-1])))
            ]
            return torch.stack(rows).reshape(shape) + first
        return torch.randint(first, last, shape, generator=generator, device=device)


def _bounds(name: str, sizes: Mapping[str, int]) -> tuple[int, int] | None:
    """The first possible value and the one after the last; None for an unknown name."""
    page = sizes.get("page_size", 1)
    if name.endswith("last_page_len"):
        return 1, page + 1
    if name == "sparse_indices":
        return 0, max(1, sizes.get("num_pages", 1) * page)
    if name.endswith("state_indices"):
        return 0, max(1, sizes.get("pool_size", 1))
    if name.endswith("indices") or name == "block_table":
        return 0, max(1, sizes.get("num_pages", 1))
    if name == "seq_lens":
        return 1, sizes.get("max_num_pages", 1) * page + 1
    if name == "top_k":
        return 1, min(64, sizes.get("vocab_size", 2)) + 1
    return None


def _offsets(count: int, total: int, generator: torch.Generator) -> torch.Tensor:
    """`count` numbers that rise from 0 to `total`.

    The parts that they cut are the same for all inputs of one draw, so that a sequence with many
    queries has many keys.
    """
    import torch

    shares = torch.rand(count - 1, generator=generator, device=generator.device) + 0.25
    cuts = torch.cumsum(shares, 0) / shares.sum() * total
    ends = cuts.round().to(torch.int64)
    ends[-1] = total
    return torch.cat([torch.zeros(1, dtype=torch.int64, device=generator.device), ends])
