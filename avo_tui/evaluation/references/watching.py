"""Watches the operations of a run: counts them, and sees which tensors they read and write.

It also finds inputs of whole numbers that are plain numbers: nothing is indexed, chosen or looped
by them, so that a check may give them other values than the reference's own. Indices, offsets,
lengths and flags keep the values that the reference draws: another value may mean nothing, or a
loop without end.
"""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from avo_tui.evaluation.references.source import ReferenceSample


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
        kwargs = kwargs or {}
        self.operations.add(str(func._overloadpacket).rpartition(".")[2])
        parameters = func._schema.arguments
        given = {p.name: value for p, value in zip(parameters, args, strict=False)} | kwargs
        for parameter in parameters:
            for leaf in tree_leaves(given.get(parameter.name)):
                name = self._names.get(id(leaf))
                if name is not None:
                    self.used.add(name)
                    if parameter.alias_info is not None and parameter.alias_info.is_write:
                        self.written.add(name)
        if torch.Tag.nondeterministic_seeded in func.tags and not self.random:
            chance = given.get("dropout_p") or given.get("dropout")
            if not _has_optional_dropout(str(func)) or chance:
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


_INDEXING = (
    "index", "gather", "scatter", "embedding", "take", "put", "bincount", "nll_loss",
    "cross_entropy", "repeat_interleave", "_local_scalar_dense", "nonzero", "where", "masked",
    "ctc_loss", "one_hot", "multinomial",
)  # fmt: skip
"""Parts of names of operations in which a whole number chooses, as an index or a condition."""
_BY_THE_FIRST = {"bincount", "nonzero", "_local_scalar_dense", "one_hot", "where"}
"""Operations whose first argument chooses."""
_TO_PYTHON = {"tolist", "numpy", "__array__", "item", "__index__", "__int__", "__bool__"}


def plain_numbers(sample: ReferenceSample, names: list[str]) -> tuple[str, ...]:
    """Those of the named inputs that are plain numbers; runs the reference once, with its data."""
    fitting = {name: sample.inputs[name] for name in names if _may_be_plain(sample.inputs[name])}
    if not fitting:
        return ()
    tracing = _Tracing(fitting)
    try:
        with torch.no_grad(), _Leaving(tracing), tracing:
            sample.outputs({**sample.inputs, **sample.weights})
    except Exception:  # a reference that cannot be watched is left as it is
        return ()
    return tuple(name for name in fitting if name not in tracing.choosing)


def _may_be_plain(tensor: torch.Tensor) -> bool:
    """Whole numbers of which some are neither 0 nor 1, as all are in a mask."""
    whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    if not whole or tensor.dtype == torch.uint64 or not tensor.numel():
        return False
    wide = tensor.long()
    return bool(((wide < 0) | (wide > 1)).any())


class _Tracing(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed
    """Follows whole numbers from the inputs through every operation."""

    def __init__(self, inputs: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.choosing: set[str] = set()
        """Inputs that an index, a condition or Python's own numbers were made of."""
        self._origins: dict[int, frozenset[str]] = {
            id(tensor): frozenset({name}) for name, tensor in inputs.items()
        }
        self._held: list[torch.Tensor] = list(inputs.values())
        """Kept, so that no tensor gets the address of another."""

    def origins(self, values: Any) -> frozenset[str]:
        """The inputs whose whole numbers these values are made of."""
        named = (self._origins.get(id(leaf), frozenset()) for leaf in tree_leaves(values))
        return frozenset().union(*named)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        origins = self.origins((args, kwargs))
        out = func(*args, **kwargs)
        name = str(func._overloadpacket).rpartition(".")[2]
        if origins and any(part in name for part in _INDEXING):
            # Values that are gathered, scattered or sliced from are no indices themselves.
            choosing = args[:1] if name in _BY_THE_FIRST else args[1:]
            self.choosing |= self.origins((choosing, kwargs))
        if origins:
            results = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
            if name in {"sort", "topk", "max", "min", "mode", "kthvalue", "cummax", "cummin"}:
                results = results[:1]  # the second result is where the values were
            for tensor in results:
                if not tensor.is_floating_point() and not tensor.is_complex():
                    self._origins[id(tensor)] = origins
                    self._held.append(tensor)
        return out


class _Leaving(TorchFunctionMode):  # type: ignore[misc]
    """Notices where values of a tensor become Python's or NumPy's own numbers."""

    def __init__(self, tracing: _Tracing) -> None:
        super().__init__()
        self._tracing = tracing

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _TO_PYTHON:
            self._tracing.choosing |= self._tracing.origins(args)
        return func(*args, **(kwargs or {}))
