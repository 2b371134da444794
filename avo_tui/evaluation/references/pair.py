"""References that are a pair of functions, as in GPU MODE's competitions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

from avo_tui.evaluation.references.files import Companions
from avo_tui.evaluation.references.sample import BadReferenceError, ReferenceSample
from avo_tui.evaluation.references.source import (
    ParameterNames,
    Reference,
    Source,
    raised,
    seeded,
)
from avo_tui.evaluation.references.spec import Kind, Sizes

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

_PROBED = 64 << 20
"""Most bytes of inputs on which output buffers are looked for."""


class Pair(Reference):
    """`ref_kernel(data)` and `generate_input(size, ..., seed)`; sizes are its whole numbers.

    The data may be a tensor or tuples, lists and dicts of tensors and other values. Tensors that
    the reference only fills and returns are no inputs of a kernel, which has outputs of its own.
    """

    kind: Kind = "pair"

    def __init__(self, source: Source, companions: Companions) -> None:
        """Arguments that `task.yml` names have its values, others their defaults."""
        self._source = source
        parameters = inspect.signature(source.run({})["generate_input"]).parameters.values()
        self._takes_seed = any(p.name == "seed" for p in parameters)
        self.constants = {}
        self._fixed: dict[str, Any] = {}
        """Arguments that are no sizes, such as the name of a distribution."""
        self.missing: tuple[str, ...] = ()
        self.small = {n: v for n, v in companions.small.items() if _is_size(v)}
        for parameter in parameters:
            name, default = parameter.name, parameter.default
            value = companions.values.get(name, default)
            if name == "seed":
                continue
            if value is inspect.Parameter.empty:
                self.missing = (*self.missing, name)
                self.constants[name] = 0  # must be given
            elif _is_size(value):
                self.constants[name] = value
            elif name in companions.values:
                self._fixed[name] = value

    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        """Inputs of `generate_input`; on the meta device through the processor where it must."""
        unknown = [name for name in self.missing if name not in sizes]
        if unknown:
            raise BadReferenceError(
                f"generate_input takes {', '.join(unknown)}: say them, such as "
                f"--set {unknown[0]}=1024"
            )
        if device != "meta":
            return self._call(sizes, seed, device, device).sample()
        try:
            return self._call(sizes, seed, "meta", "meta").sample()
        except BadReferenceError:  # such as inputs that follow from other inputs' values
            return self._call(sizes, seed, "cpu", "meta").sample()

    def _call(self, sizes: Sizes, seed: int, drawn_on: str, device: str) -> _Call:
        """Data drawn on one device, then put on another where that is not the same."""
        given = {name: sizes.get(name, value) for name, value in self.constants.items()}
        given = {**self._fixed, **given}
        if self._takes_seed:
            given["seed"] = seed % 2**31
        with seeded(seed, drawn_on):
            names = self._source.run({}, drawn_on)
            try:
                data = names["generate_input"](**given)
            except Exception as error:
                raise BadReferenceError(raised(error, self._source.file)) from error
        if device != drawn_on:  # tensors of the module's own are made on the other device too
            with seeded(seed, device):
                names = self._source.run({}, device)
        return _Call(names["ref_kernel"], data, device)

    @cached_property
    def filled(self) -> frozenset[str]:
        """Inputs that the reference overwrites without reading them: its output buffers.

        Seen by running it on small inputs twice, with other values in those that it changes.
        """
        for sizes in self._probes():
            try:
                call = self._call(sizes, 5, "cpu", "cpu")
                if sum(t.nbytes for t in call.inputs.values()) <= _PROBED:
                    return call.filled()
            except Exception:  # noqa: S112  sizes that do not fit together: the next ones
                continue
        return frozenset()

    def _probes(self) -> list[Sizes]:
        """Choices of sizes to try, the likeliest to be small and to run first."""
        known = {n: v for n, v in self.constants.items() if v}
        capped = [{n: min(v, most) for n, v in known.items()} for most in (16, 64, 256)]
        return [{**known, **self.small}, *capped, known]


class _Call:
    """`ref_kernel` with one set of data: which tensors are in it, and where."""

    def __init__(self, reference: Callable[[Any], Any], data: Any, device: str) -> None:
        import torch
        from torch.utils import _pytree as pytree

        leaves, self._layout = pytree.tree_flatten_with_path(data)
        taken = ParameterNames()
        self._reference = reference
        self.inputs: Tensors = {}
        self._slots: list[Any] = []
        """For each leaf of the data the name of a tensor, or a tuple with another value."""
        for path, value in leaves:
            if isinstance(value, torch.Tensor):
                name = taken.take(_name_of(path))
                self.inputs[name] = value.detach().to(device).contiguous()
                self._slots.append(name)
            else:
                self._slots.append((value,))

    def sample(self) -> ReferenceSample:
        """The inputs, with a function of inputs; those that it lacks are filled with zeros."""
        return ReferenceSample(self.inputs, {}, lambda tensors: self._run(self._copies(tensors)))

    def _copies(self, tensors: Tensors) -> Tensors:
        """Tensors that the reference may write to, buffers as wide as the inputs given."""
        import torch

        wide = any(t.dtype == torch.float64 for t in tensors.values())
        copies = {}
        for name, drawn in self.inputs.items():
            if name in tensors:
                copies[name] = tensors[name].clone()
            else:
                kind = torch.float64 if wide and drawn.is_floating_point() else drawn.dtype
                copies[name] = torch.zeros_like(drawn, dtype=kind)
        return copies

    def _run(self, copies: Tensors) -> Any:
        from torch.utils import _pytree as pytree

        leaves = [copies[s] if isinstance(s, str) else s[0] for s in self._slots]
        return self._reference(pytree.tree_unflatten(leaves, self._layout))

    def filled(self) -> frozenset[str]:
        """Inputs whose values, all written over, make no difference to the outputs."""
        import torch

        copies = self._copies(self.inputs)
        self._run(copies)
        changed = [n for n, t in self.inputs.items() if not _equal(copies[n], t)]
        results = []
        for fill in (torch.ones_like, torch.zeros_like):
            given = {**self.inputs, **{n: fill(self.inputs[n]) for n in changed}}
            results.append(self.sample().outputs(given))
        same = all(_equal(tensor, results[1][name]) for name, tensor in results[0].items())
        return frozenset(changed) if same else frozenset()


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether all values are the same; NaN is the same as NaN."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _name_of(path: Sequence[Any]) -> str:
    """`data`, `data0`, `data1`, …; keys of dicts as they are: `norm_weight`."""
    parts = [str(getattr(key, "key", getattr(key, "idx", ""))) for key in path]
    name = "_".join(parts)
    return name if name[:1].isalpha() else f"data{name}"
