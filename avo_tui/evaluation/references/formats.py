"""The forms in which a reference may be brought, read into one.

- *module*: `Model(torch.nn.Module)`, `get_inputs()` and `get_init_inputs()`, as in KernelBench;
- *pair*: `ref_kernel(data)` and `generate_input(...)`, as in GPU MODE's competitions;
- *flashinfer*: a definition of FlashInfer-Bench, a JSON object whose `reference` has `run(...)`.

The code of a reference runs in this process: `adopting` says what confines it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.references.sample import ReferenceError, ReferenceSample
from avo_tui.evaluation.references.spec import Kind, Sizes

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]


class Reference(ABC):
    """A reference; the values of its constants are chosen whenever inputs are generated."""

    kind: Kind
    constants: Sizes
    """Whole numbers of the source that may be replaced, with their own values."""

    @abstractmethod
    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        """Inputs and weights for these sizes, the same for the same seed and kind of device.

        On `cpu`, `meta` or `cuda`: a GPU draws other numbers than the CPU of the same seed.
        """


def read(text: str, file: str, *, evaluation_mode: bool = False) -> Reference:
    """Read a reference from a file's text. Raises ReferenceError if it has none of the forms."""
    if text.lstrip().startswith("{"):
        return FlashInfer(text)
    source = Source(text, file)
    names = source.defined
    if "Model" in names and "get_inputs" in names:
        return Module(source, evaluation_mode)
    if "ref_kernel" in names and "generate_input" in names:
        return Pair(source)
    raise ReferenceError(
        f"{file} has neither Model and get_inputs, nor ref_kernel and generate_input, nor is it a "
        "definition of FlashInfer-Bench"
    )


class Source:
    """Python text with whole numbers at its top level that can be replaced before it runs."""

    def __init__(self, text: str, file: str) -> None:
        """Raises ReferenceError for text that is no Python."""
        self.file = file
        try:
            self._tree = ast.parse(text, file)
        except SyntaxError as error:
            raise ReferenceError(f"{file} (line {error.lineno}): {error.msg}") from error
        self.defined = {
            node.name
            for node in self._tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        } | self._assigned().keys()

    def _assigned(self) -> dict[str, list[int]]:
        """Name → indices of the top-level statements that assign it."""
        places: dict[str, list[int]] = {}
        for index, node in enumerate(self._tree.body):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                targets = [node.target]
            for target in targets:
                for leaf in ast.walk(target):
                    if isinstance(leaf, ast.Name):
                        places.setdefault(leaf.id, []).append(index)
        return places

    def run(self, sizes: Sizes) -> dict[str, Any]:
        """The module's names after its text ran with these constants. Raises ReferenceError.

        The module can be imported while it is the newest of its text and constants: torch.compile
        looks up a function's globals by the name of its module.
        """
        places = self._assigned()
        body = list(self._tree.body)
        insert = sorted(
            ((places[name][-1], name) for name in sizes if name in places), reverse=True
        )
        for index, name in insert:
            assignment = ast.Assign([ast.Name(name, ast.Store())], ast.Constant(sizes[name]))
            body.insert(index + 1, ast.copy_location(assignment, body[index]))
        tree = ast.fix_missing_locations(ast.Module(body, []))
        digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
        module = ModuleType(f"avo_reference_{digest}")
        module.__file__ = self.file
        sys.modules[module.__name__] = module
        try:
            exec(compile(tree, self.file, "exec"), module.__dict__)  # noqa: S102  it is code
        except Exception as error:
            raise ReferenceError(_raised(error, self.file)) from error
        return module.__dict__

    def constants(self) -> Sizes:
        """Whole numbers above 0 that the text assigns at its top level, to a name assigned once."""
        names = self.run({})
        return {
            name: names[name]
            for name, places in self._assigned().items()
            if len(places) == 1
            and isinstance(names.get(name), int)
            and not isinstance(names[name], bool)
            and names[name] > 0
        }


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """New tensors come on this device, drawn from this seed; torch's own state stays as it was."""
    import torch

    ours = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=ours), torch.device(device):
        torch.manual_seed(seed % 2**63)
        yield


def _raised(error: BaseException, file: str) -> str:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" (line {line})" if line else ""
    return f"{file}{where}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


class _Names:
    """Names for C++ parameters, none given twice."""

    def __init__(self) -> None:
        self._taken = {"out"}

    def take(self, wanted: str) -> str:
        from avo_tui.evaluation.task_static_checks import is_parameter_name

        plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in wanted)
        name = plain if is_parameter_name(plain) else f"t_{plain}"
        count = 2
        while name in self._taken:
            name, count = f"{plain}_{count}", count + 1
        self._taken.add(name)
        return name


class Module(Reference):
    """`Model`, `get_inputs` and, if it takes arguments, `get_init_inputs`."""

    kind: Kind = "module"

    def __init__(self, source: Source, evaluation_mode: bool) -> None:
        self._source, self._evaluation_mode = source, evaluation_mode
        self.constants = source.constants()

    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        names = self._source.run(sizes)
        with _seeded(seed, device):
            try:
                given = names["get_init_inputs"]() if "get_init_inputs" in names else []
                if isinstance(given, list) and len(given) == 2 and given == [[], given[1]]:
                    model = names["Model"](**given[1])  # KernelBench's other form: [args, kwargs]
                elif isinstance(given, Mapping):
                    model = names["Model"](**given)
                else:
                    model = names["Model"](*given)
                values = list(names["get_inputs"]())
            except Exception as error:
                raise ReferenceError(_raised(error, self._source.file)) from error
        if self._evaluation_mode:
            model.eval()
        _forget_statistics(model)
        return _of_module(model, values, self._source.file)


def _forget_statistics(model: torch.nn.Module) -> None:
    """Batch statistics that training only records are no inputs: outputs do not depend on them."""
    from torch.nn.modules.batchnorm import _NormBase

    for part in model.modules():
        if isinstance(part, _NormBase) and part.training and part.track_running_stats:
            part.track_running_stats = False
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(part, name, None)


def _of_module(model: torch.nn.Module, values: list[Any], file: str) -> ReferenceSample:
    import torch

    taken = _Names()
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
            raise ReferenceError(
                f"{file}: get_inputs gives a {type(value).__name__} as {source}; tensors and "
                "numbers can be passed to a kernel"
            )
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    keys = {taken.take(key): key for key in state}
    weights = {name: state[key].detach().contiguous() for name, key in keys.items()}

    def run(tensors: Tensors) -> Any:
        swapped = {key: tensors[name] for name, key in keys.items() if name in tensors}
        arguments = [tensors[s] if isinstance(s, str) else s[0] for s in slots]
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

    return ReferenceSample(inputs, weights, run, place if weights else None)


class Pair(Reference):
    """`ref_kernel(data)` and `generate_input(size, ..., seed)`; sizes are its whole numbers."""

    kind: Kind = "pair"

    def __init__(self, source: Source) -> None:
        self._source = source
        names = source.run({})
        parameters = inspect.signature(names["generate_input"]).parameters.values()
        self._takes_seed = any(p.name == "seed" for p in parameters)
        self.constants = {}
        missing = []
        for parameter in parameters:
            if parameter.name == "seed":
                continue
            default = parameter.default
            if isinstance(default, int) and not isinstance(default, bool):
                self.constants[parameter.name] = default
            elif default is inspect.Parameter.empty:
                missing.append(parameter.name)
        for name in missing:
            self.constants[name] = 0  # must be given
        self.missing = tuple(missing)

    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        import torch

        names = self._source.run({})
        chosen = {name: sizes.get(name, value) for name, value in self.constants.items()}
        unknown = [name for name in self.missing if name not in sizes]
        if unknown:
            raise ReferenceError(
                f"generate_input takes {', '.join(unknown)}: say them, such as "
                f"--set {unknown[0]}=1024"
            )
        if self._takes_seed:
            chosen["seed"] = seed % 2**31
        with _seeded(seed, device):
            try:
                data = names["generate_input"](**chosen)
            except Exception as error:
                raise ReferenceError(_raised(error, self._source.file)) from error
        single = not isinstance(data, tuple | list)
        values = [data] if single else list(data)
        taken = _Names()
        inputs: Tensors = {}
        slots: list[Any] = []
        for index, value in enumerate(values):
            if isinstance(value, torch.Tensor):
                name = taken.take("data" if single else f"data{index}")
                inputs[name] = value.detach().contiguous()
                slots.append(name)
            else:
                slots.append((value,))

        def run(tensors: Tensors) -> Any:
            arguments = [tensors[s].clone() if isinstance(s, str) else s[0] for s in slots]
            return names["ref_kernel"](arguments[0] if single else tuple(arguments))

        return ReferenceSample(inputs, {}, run)


class FlashInfer(Reference):
    """A definition: `axes` (const or var), `inputs`, `outputs`, and `reference` with `run(...)`."""

    kind: Kind = "flashinfer"
    VARYING = 64
    """Size of an axis that varies, where none is given."""

    def __init__(self, text: str) -> None:
        """Raises ReferenceError for what is no definition, or one that needs inputs of its own."""
        try:
            self._definition = json.loads(text)
            axes = self._definition["axes"]
            self._inputs = self._definition["inputs"]
            self._outputs = self._definition["outputs"]
            self._source = Source(self._definition["reference"], "reference")
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, ReferenceError):
                raise
            raise ReferenceError(
                f"not a definition of FlashInfer-Bench: it lacks {error}"
            ) from error
        self.fixed = {n: int(a["value"]) for n, a in axes.items() if a.get("type") == "const"}
        self.constants = {n: self.VARYING for n, a in axes.items() if a.get("type") != "const"}
        for name, entry in self._inputs.items():
            kind = dtypes.dtype(str(entry["dtype"]))
            if entry.get("shape") is not None and kind.exact and kind.kind != "bool":
                raise ReferenceError(
                    f"the input {name} is {kind.name}: indices mean something that a definition "
                    "does not say, so they cannot be drawn; write a pair ref_kernel/generate_input"
                )

    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        import torch

        names = self._source.run({})
        values = {**self.constants, **self.fixed, **sizes}
        where = "cpu" if device == "meta" else device
        generator = torch.Generator(where).manual_seed(seed % 2**63)
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
            else:
                inputs[name] = torch.randn(shape, generator=generator, device=where).to(kind)
            slots.append(name)

        def run(tensors: Tensors) -> Any:
            arguments = [tensors[s] if isinstance(s, str) else s[0] for s in slots]
            value = names["run"](*arguments)
            single = isinstance(value, torch.Tensor)
            parts = (
                [value] if single else list(value.values() if hasattr(value, "values") else value)
            )
            return dict(zip(self._outputs, parts, strict=True))

        return ReferenceSample(inputs, {}, run)


def _scalar(dtype: str, values: Sizes, name: str) -> float | int:
    """A scalar input: 1/√d for a softmax's scale, where a head dimension is known; else 1."""
    if dtypes.dtype(dtype).exact:
        return values.get(name, 1)
    for axis in ("head_dim", "head_dim_qk", "head_size"):
        if axis in values:
            return float(values[axis] ** -0.5)
    return 1.0
