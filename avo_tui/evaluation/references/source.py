"""A reference, and the Python text that it is made of.

The code of a reference runs in this process: `adopting` says what confines it.
"""

from __future__ import annotations

import ast
import builtins
import copy
import hashlib
import linecache
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from avo_tui.evaluation.references.spec import Kind, Sizes
from avo_tui.evaluation.task_static_checks import is_parameter_name, line_in, one_line

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]


class BadReferenceError(ValueError):
    """No task can be made from the reference; the message says why and what to do."""


def _on_device_of(tensors: Tensors) -> AbstractContextManager[object]:
    """New tensors, such as a mask that `forward` makes, come where the inputs are.

    On the processor they do so anyway, and a timed call is spared the context's microseconds.
    """
    import torch

    device = next((tensor.device for tensor in tensors.values()), torch.device("cpu"))
    return nullcontext() if device.type == "cpu" else device


class ReferenceSample:
    """One set of inputs and weights of a reference, with a function that computes the outputs."""

    def __init__(
        self,
        inputs: Tensors,
        weights: Tensors,
        run: Callable[[Tensors], Any],
        place: Callable[[Tensors], None] | None = None,
        modes: tuple[str, ...] = (),
    ) -> None:
        """`run` takes inputs and weights by name, in any one precision.

        `place` makes weights, by name, those of the module; without it there are no weights.
        `modes` say what its parts compute that compute something else in training than in
        evaluation.
        """
        self.modes = modes
        self.inputs, self.weights, self._run, self._place = inputs, weights, run, place
        self._placed: Tensors = {}

    def placed(self, tensors: Tensors) -> Tensors:
        """Puts the weights among `tensors` into the module; the inputs are returned.

        Weights that are there already stay, so that this is cheap where it is repeated: `outputs`
        of the inputs alone is as quick as the reference itself. With `outputs` of all tensors the
        weights are swapped for the call, which takes tens of microseconds. They have the module's
        own dtypes here.
        """
        if self._place is None:
            return tensors
        weights = {name: tensors[name] for name in self.weights if name in tensors}
        if any(tensor is not self._placed.get(name) for name, tensor in weights.items()):
            self._place(weights)
            self._placed = weights
        return {name: tensors[name] for name in self.inputs if name in tensors}

    def outputs(self, tensors: Tensors) -> Tensors:
        """The outputs by name: `out`, or `out0`, `out1`, … Raises BadReferenceError for others."""
        import torch

        with _on_device_of(tensors):
            value = self._run(tensors)
        if isinstance(value, Mapping):
            named = {str(key): item for key, item in value.items()}
        elif isinstance(value, tuple | list):
            named = {f"out{index}": item for index, item in enumerate(value)}
        else:
            named = {"out": value}
        for name, item in named.items():
            if not isinstance(item, torch.Tensor):
                rewrite = "return torch.tensor(…) of a number, and leave out what is none"
                if isinstance(item, tuple | list):
                    rewrite = f"return its parts one beside the other: {name}[0], {name}[1], …"
                elif isinstance(item, Iterator):
                    rewrite = "return tuple(…) of what it yields"
                raise BadReferenceError(
                    f"the reference returns a {type(item).__name__} ({name}), and every output "
                    f"must be a tensor: {rewrite}"
                )
            if item.is_quantized or item.layout != torch.strided:
                kind = "quantized" if item.is_quantized else "sparse"
                rewrite = "int_repr()" if item.is_quantized else "to_dense()"
                raise BadReferenceError(
                    f"the reference returns a {kind} tensor ({name}), and a kernel writes plain "
                    f"ones: return {name}.{rewrite}"
                )
        if not named:
            raise BadReferenceError("the reference returns nothing")
        return named


_GPU = re.compile(r"(cuda|hip)(:\d+)?")


class Reference(ABC):
    """A reference; the values of its constants are chosen whenever inputs are generated."""

    kind: Kind
    constants: Sizes
    """Whole numbers of the source that may be replaced, with their own values."""

    small: Mapping[str, int] = MappingProxyType({})
    """Sizes that the reference's own tests use; empty where it names none."""

    @property
    def filled(self) -> frozenset[str]:
        """Inputs that it only writes to: buffers for its outputs, which a kernel has of its own."""
        return frozenset()

    @abstractmethod
    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        """Inputs and weights for these sizes, the same for the same seed and kind of device.

        On `cpu`, `meta` or `cuda`: a GPU draws other numbers than the CPU of the same seed.
        """


def in_double(
    reference: Reference, sizes: Sizes, seed: int, tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The outputs in f64, on the tensors' device; in its own dtype where a reference insists."""
    import torch

    device = str(next(iter(tensors.values())).device)
    wide = {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}
    with torch.no_grad():
        try:
            return reference.draw(sizes, seed, device).outputs(wide)
        except Exception:  # such as a constant of its own in f32
            return reference.draw(sizes, seed, device).outputs(dict(tensors))


class Source:
    """Python text with whole numbers at its top level that can be replaced before it runs."""

    def __init__(self, text: str, file: str, modules: Mapping[str, str] | None = None) -> None:
        """`modules`: name → text of those that it may import beside the installed ones.

        Raises BadReferenceError for text that is no Python.
        """
        self.file, self._text, self._modules = file, text, dict(modules or {})
        try:
            self._tree = ast.parse(text, file)
        except SyntaxError as error:
            raise BadReferenceError(f"{file} (line {error.lineno}): {error.msg}") from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise BadReferenceError(f"{file} is nested too deep to be read as Python") from error
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

    def run(self, sizes: Sizes, device: str = "cpu") -> dict[str, Any]:
        """The module's names after its text ran with these constants. Raises BadReferenceError.

        Where the text says "cuda", it gets `device` instead: most references of competitions name
        the device that they are to run on.

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
        tree = _on_device(ast.Module(body, []), device)
        digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
        module = ModuleType(f"avo_reference_{digest}")
        module.__file__ = self.file
        if self._modules:
            module.__dict__["__builtins__"] = _Imports(self._modules, device).builtins
        sys.modules[module.__name__] = module
        # torch.jit.script reads the text of a function, which need not lie in a file here
        lines = self._text.splitlines(keepends=True)
        linecache.cache[self.file] = (len(self._text), None, lines, self.file)
        try:
            exec(compile(tree, self.file, "exec"), module.__dict__)  # noqa: S102  it is code
        except (Exception, SystemExit) as error:
            raise BadReferenceError(raised(error, self.file)) from error
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


class _Device(ast.NodeTransformer):
    """Puts another device in the place of "cuda" and `.cuda()`; locations stay the same."""

    def __init__(self, device: str) -> None:
        self._device = device

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and _GPU.fullmatch(node.value):
            return ast.copy_location(ast.Constant(self._device), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else ""
        if name == "Generator" and self._device == "meta":  # meta tensors take the processor's
            return _Device("cpu").generic_visit(node)
        self.generic_visit(node)
        if name == "cuda" and isinstance(function, ast.Attribute):
            function.attr, node.args = "to", [ast.Constant(self._device)]
            node.keywords = []
        return node


def _on_device(tree: ast.Module, device: str) -> ast.Module:
    """A copy for that device; the GPU's own text stays as it is."""
    if not device.startswith("cuda"):
        tree = _Device(device).visit(copy.deepcopy(tree))
    return ast.fix_missing_locations(tree)


class _Imports:
    """Built-in names whose `import` finds a reference's own modules first."""

    def __init__(self, modules: Mapping[str, str], device: str) -> None:
        self._texts, self._device = modules, device
        self._ready: dict[str, ModuleType] = {}
        self.builtins = {**vars(builtins), "__import__": self._import}

    def _import(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        if level or name not in self._texts:
            return builtins.__import__(name, globals, locals, fromlist, level)
        if name not in self._ready:
            module = self._ready[name] = ModuleType(name)
            module.__dict__["__builtins__"] = self.builtins
            tree = _on_device(ast.parse(self._texts[name], f"{name}.py"), self._device)
            exec(compile(tree, f"{name}.py", "exec"), module.__dict__)  # noqa: S102  it is code
        return self._ready[name]


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """New tensors come on this device, drawn from this seed; torch's own state stays as it was."""
    import torch

    ours = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=ours), torch.device(device):
        torch.manual_seed(seed % 2**63)
        yield


def raised(error: BaseException, file: str) -> str:
    """One sentence with the line of `file` that an exception came from."""
    line = line_in(error, file)
    where = f" (line {line})" if line else ""
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = "; install it where avo-tui is installed, or write it with torch alone"
    elif isinstance(error, OSError):
        hint = "; it runs without your files: make what it needs in the file itself"
    elif "Model.__init__() missing" in str(error):
        hint = "; get_init_inputs gives the arguments of Model"
    return f"{file}{where}: {type(error).__name__}: {one_line(error)}{hint}"


class ParameterNames:
    """Names for C++ parameters, none given twice."""

    def __init__(self) -> None:
        self._taken = {"out"}

    def take(self, wanted: str) -> str:
        plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in wanted)
        base = plain if is_parameter_name(plain) else f"t_{plain}"
        name, count = base, 2
        while name in self._taken:
            name, count = f"{base}_{count}", count + 1
        self._taken.add(name)
        return name
