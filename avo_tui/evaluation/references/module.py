"""References that are a PyTorch module, as in KernelBench."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


def _is_keywords(given: object) -> bool:
    """Whether these are KernelBench's `[[], keywords]`: no arguments by position, some by name."""
    if not isinstance(given, list) or len(given) != 2:
        return False
    positional, keywords = given
    return isinstance(positional, list) and not positional and isinstance(keywords, Mapping)


class Module(Reference):
    """`Model`, `get_inputs` and, if it takes arguments, `get_init_inputs`."""

    kind: Kind = "module"

    def __init__(self, source: Source, evaluation_mode: bool) -> None:
        self._source, self._evaluation_mode = source, evaluation_mode
        self.constants = source.constants()

    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        names = self._source.run(sizes, device)
        with seeded(seed, device):
            try:
                given = names["get_init_inputs"]() if "get_init_inputs" in names else []
                if _is_keywords(given):
                    model = names["Model"](**given[1])
                elif isinstance(given, Mapping):
                    model = names["Model"](**given)
                else:
                    model = names["Model"](*given)
                given = names["get_inputs"]()
                if isinstance(given, Mapping):  # an argument of forward each
                    taken = list(inspect.signature(model.forward).parameters)
                    given = [given[name] for name in taken if name in given]
                values = list(given)
            except (Exception, SystemExit) as error:
                raise BadReferenceError(raised(error, self._source.file)) from error
        if self._evaluation_mode:
            model.eval()
        modes = _modes(model)
        _forget_statistics(model)
        return _of_module(model, values, self._source.file, modes)


def _modes(model: torch.nn.Module) -> tuple[str, ...]:
    """What its norms and dropouts compute, each as the module itself has set it."""
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.dropout import _DropoutNd
    from torch.nn.modules.instancenorm import _InstanceNorm

    named: dict[tuple[str, str], list[str]] = {}
    for name, part in model.named_modules():
        if isinstance(part, _NormBase) and part.running_mean is not None:
            of = "each sample" if isinstance(part, _InstanceNorm) else "the batch"
            now, recorded = f"uses the statistics of {of}", "uses its recorded statistics"
            way = now if part.training else recorded
        elif isinstance(part, _NormBase) and not isinstance(part, _InstanceNorm):
            way = "uses the statistics of the batch"
        elif isinstance(part, _DropoutNd) and part.p:
            way = f"drops with probability {part.p:g}" if part.training else "drops nothing"
        else:
            continue
        named.setdefault((type(part).__name__, way), []).append(f"`{name or 'the module'}`")
    return tuple(
        f"{kind} ({', '.join(names[:6])}{', …' if len(names) > 6 else ''}) {way}"
        for (kind, way), names in named.items()
    )


def _forget_statistics(model: torch.nn.Module) -> None:
    """Batch statistics that training only records are no inputs: outputs do not depend on them."""
    from torch.nn.modules.batchnorm import _NormBase

    for part in model.modules():
        if isinstance(part, _NormBase) and part.training and part.track_running_stats:
            part.track_running_stats = False
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(part, name, None)


class _Buffers:
    """Buffers of a module, put back after each call that writes to them.

    A call is then a function of its arguments, as a kernel's is.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._names: Collection[str] = [name for name, _ in model.named_buffers()]
        """Those that a call may write to: all of them until one was seen."""

    @contextmanager
    def kept(self, swapped: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """For one call in which `swapped` stand for the module's own."""
        import torch
        from torch.utils._python_dispatch import _disable_current_modes

        if not self._names or torch.compiler.is_compiling():
            yield
            return
        with _disable_current_modes():  # copying them is no part of what is counted
            used = {n: swapped.get(n, self._model.get_buffer(n)) for n in self._names}
            before = {name: (tensor.clone(), tensor._version) for name, tensor in used.items()}
        try:
            yield
        finally:
            self._names = [n for n, tensor in used.items() if tensor._version != before[n][1]]
            with _disable_current_modes(), torch.no_grad():
                for name in self._names:
                    used[name].copy_(before[name][0])


def _of_module(
    model: torch.nn.Module, values: list[Any], file: str, modes: tuple[str, ...]
) -> ReferenceSample:
    import torch

    taken = ParameterNames()
    parameters = list(inspect.signature(model.forward).parameters)
    inputs: Tensors = {}
    slots: list[Any] = []
    for index, value in enumerate(values):
        source = parameters[index] if index < len(parameters) else f"input{index}"
        if isinstance(value, torch.Tensor):
            name = taken.take(source)
            inputs[name] = value.detach().contiguous()
            slots.append(name)
        elif isinstance(value, int | float | bool | str | None):
            slots.append((value,))
        else:
            raise BadReferenceError(
                f"{file}: get_inputs gives a {type(value).__name__} as {source}; tensors and "
                "numbers can be passed to a kernel"
            )
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    keys = {taken.take(key): key for key in state}
    weights = {name: state[key].detach().contiguous() for name, key in keys.items()}

    buffers = _Buffers(model)

    def run(tensors: Tensors) -> Any:
        swapped = {key: tensors[name] for name, key in keys.items() if name in tensors}
        arguments = [tensors.get(s, inputs[s]) if isinstance(s, str) else s[0] for s in slots]
        with buffers.kept(swapped):
            if not swapped:
                return model(*arguments)
            return torch.func.functional_call(model, swapped, tuple(arguments))

    def place(tensors: Tensors) -> None:
        for name, tensor in tensors.items():
            owner, _, leaf = keys[name].rpartition(".")
            part = model.get_submodule(owner)
            if leaf in part._parameters:
                state[keys[name]].data = tensor
            else:
                part._buffers[leaf] = tensor

    return ReferenceSample(inputs, weights, run, place if weights else None, modes)
