"""The forms in which a reference may be brought, read into one.

- *module*: `Model(torch.nn.Module)`, `get_inputs()` and `get_init_inputs()`, as in KernelBench;
- *pair*: `ref_kernel(data)` and `generate_input(...)`, as in GPU MODE's competitions;
- *flashinfer*: a definition of FlashInfer-Bench, a JSON object whose `reference` has `run(...)`.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.references.files import Companions
from avo_tui.evaluation.references.source import (
    BadReferenceError,
    ParameterNames,
    Reference,
    ReferenceSample,
    Source,
    raised,
    seeded,
)
from avo_tui.evaluation.references.spec import Kind, Sizes

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]


def read(
    text: str,
    file: str,
    evaluation_mode: bool = False,
    companions: Companions | None = None,
) -> Reference:
    """Read a reference from a file's text. Raises BadReferenceError if it has none of the forms."""
    if text.lstrip().startswith("{"):
        return FlashInfer(text)
    companions = companions or Companions()
    source = Source(text, file, companions.modules)
    names = source.defined
    if "Model" in names and "get_inputs" in names:
        return Module(source, evaluation_mode)
    if "ref_kernel" in names and "generate_input" in names:
        return Pair(source, companions)
    raise BadReferenceError(
        f"{file} has neither Model and get_inputs, nor ref_kernel and generate_input, nor is it a "
        "definition of FlashInfer-Bench"
    )


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
                values = [given] if hasattr(given, "dim") else list(given)  # one tensor
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
            if not value.is_contiguous():
                modes += (f"`{name}` lies otherwise in the file: here it is contiguous",)
            slots.append(name)
        elif isinstance(value, int | float | bool | str | None):
            slots.append((value,))
        else:
            raise BadReferenceError(
                f"{file}: get_inputs gives a {type(value).__name__} as {source}; a kernel is "
                "passed tensors and numbers: give each part as an argument of forward of its own"
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


class FlashInfer(Reference):
    """A definition: `axes` (const or var), `inputs`, `outputs`, and `reference` with `run(...)`."""

    kind: Kind = "flashinfer"
    VARYING = 64
    """Size of an axis that varies, where none is given."""
    SEQUENCES = 8
    """The same of an axis that counts sequences of different lengths."""

    def __init__(self, text: str) -> None:
        """Raises BadReferenceError for no definition, or one that needs inputs of its own."""
        try:
            self._definition = json.loads(text)
            axes = self._definition["axes"]
            self._inputs = self._definition["inputs"]
            self._outputs = self._definition["outputs"]
            self._source = Source(self._definition["reference"], "reference")
        except BadReferenceError:
            raise
        except KeyError as error:
            raise BadReferenceError(
                f"not a definition of FlashInfer-Bench: it lacks {error}"
            ) from error
        except (ValueError, TypeError) as error:
            raise BadReferenceError(f"not a definition of FlashInfer-Bench: {error}") from error
        self.fixed = {n: int(a["value"]) for n, a in axes.items() if a.get("type") == "const"}
        self.constants = {n: self.VARYING for n, a in axes.items() if a.get("type") != "const"}
        self._indices = IndexInputs(self._definition.get("constraints") or [], frozenset(axes))
        for name in self._indices.implied & self.constants.keys():
            del self.constants[name]
        for name, entry in self._inputs.items():
            kind = dtypes.dtype(str(entry["dtype"]))
            if not _is_index(entry) or kind.bytes == 1:
                continue
            if not self._indices.knows(name):
                raise BadReferenceError(
                    f"the input {name} is {kind.name}: indices mean something that a definition "
                    "does not say, so they cannot be drawn; write a pair ref_kernel/generate_input"
                )
            if name.endswith(("indptr", "seqlens")):
                counts = self._indices.counted_by(str(entry["shape"][0]))
                self.constants.update(dict.fromkeys(counts & self.constants.keys(), self.SEQUENCES))

    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        import torch

        names = self._source.run({}, device)
        values = self._indices.complete({**self.constants, **self.fixed, **sizes})
        where = "cpu" if device == "meta" else device
        generator = torch.Generator(where).manual_seed(seed % 2**63)
        shares = torch.Generator(where)
        inputs: Tensors = {}
        slots: list[Any] = []
        for name, entry in self._inputs.items():
            if entry.get("shape") is None:
                slots.append((_scalar(str(entry["dtype"]), values, name),))
                continue
            shape = [values[a] if isinstance(a, str) else int(a) for a in entry["shape"]]
            kind = dtypes.torch_dtype(str(entry["dtype"]))
            if device == "meta":
                inputs[name] = torch.empty(shape, dtype=kind, device="meta")
            elif kind.itemsize == 1 and not kind.is_floating_point and kind != torch.bool:
                inputs[name] = torch.randint(
                    -100, 100, shape, generator=generator, device=where
                ).to(kind)
            elif _is_index(entry):
                shares.manual_seed(seed % 2**63)  # the same cuts for queries and keys
                drawn = self._indices.draw(name, shape, values, shares)
                inputs[name] = drawn.to(kind)
            else:
                inputs[name] = torch.randn(shape, generator=generator, device=where).to(kind)
            slots.append(name)

        def run(tensors: Tensors) -> Any:
            arguments = [tensors[s] if isinstance(s, str) else s[0] for s in slots]
            value = names["run"](*arguments)
            if isinstance(value, Mapping):
                return {name: value[name] for name in self._outputs}
            parts = [value] if isinstance(value, torch.Tensor) else list(value)
            return dict(zip(self._outputs, parts, strict=True))

        return ReferenceSample(inputs, {}, run)


def _is_index(entry: dict[str, Any]) -> bool:
    """Whether an input is a tensor of whole numbers."""
    kind = dtypes.dtype(str(entry["dtype"]))
    return entry.get("shape") is not None and kind.exact and kind.kind != "bool"


def _scalar(dtype: str, values: Sizes, name: str) -> float | int:
    """A scalar input: 1/√d for a softmax's scale, where a head dimension is known; else 1."""
    if dtypes.dtype(dtype).exact:
        return values.get(name, 1)
    for axis in ("head_dim", "head_dim_qk", "head_size"):
        if axis in values:
            return float(values[axis] ** -0.5)
    return 1.0


_EQUATION = re.compile(r"(\w+) == (\w+) \+ (\d+)")
_TOTAL = re.compile(r"(\w+) == (\w+)\[-1\]\.item\(\)")


class IndexInputs:
    """How the whole-number inputs of one definition are drawn, by their customary names.

    A definition of FlashInfer-Bench gives the dtype and shape of `kv_indptr` and its kind, not what
    its values mean. The names are those of FlashInfer's interface: offsets (`…indptr`,
    `cu_seqlens`) rise from 0 to a total, `…indices` and `block_table` number pages,
    `…last_page_len` counts the tokens of a last page.
    """

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
