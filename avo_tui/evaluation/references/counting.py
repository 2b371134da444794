"""Counts the operations of a run, and which tensors it reads and writes."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


def _has_optional_dropout(name: str) -> bool:
    """True for operations that draw only where their dropout is not 0."""
    return "scaled_dot_product" in name or "_attention" in name


class Counting(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed
    """While it is entered, every operation of torch is seen."""

    def __init__(self, named: dict[str, torch.Tensor]) -> None:
        """`named`: the tensors whose reading and writing is of interest."""
        super().__init__()
        self._names = {id(tensor): name for name, tensor in named.items()}
        self.used: set[str] = set()
        self.written: set[str] = set()
        self.operations: set[str] = set()
        """Names of torch's operations that were done."""
        self.flops = 0.0
        self.random = ""
        """The first operation that draws random numbers; empty without one."""
        self.by_value = ""
        """The first operation whose result has a shape that values decide; empty without one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Counts one operation and does it."""
        kwargs = kwargs or {}
        self.operations.add(str(func._overloadpacket).rpartition(".")[2])
        for schema, value in zip(func._schema.arguments, args, strict=False):
            for leaf in tree_leaves(value):
                name = self._names.get(id(leaf))
                if name is not None:
                    self.used.add(name)
                    if schema.alias_info is not None and schema.alias_info.is_write:
                        self.written.add(name)
        for leaf in tree_leaves(kwargs):
            if id(leaf) in self._names:
                self.used.add(self._names[id(leaf)])
        if torch.Tag.nondeterministic_seeded in func.tags and not self.random:
            chances = [
                value
                for schema, value in zip(func._schema.arguments, args, strict=False)
                if schema.name in {"dropout_p", "dropout"}
            ]
            if not _has_optional_dropout(str(func)) or any(chances):
                self.random = str(func)
        if torch.Tag.dynamic_output_shape in func.tags:
            self.by_value = self.by_value or func._schema.name.partition("::")[2]
        out = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += float(formula(*args, **kwargs, out_val=out))
        elif not func.is_view:
            tensors = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
            self.flops += float(sum(t.numel() for t in tensors if t.dtype != torch.bool))
        return out
