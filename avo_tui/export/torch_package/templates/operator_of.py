"""The custom operator of this package: shapes are looked up, then its launcher is called.

A shape of the kernel's domain that was not among those of the export is worked out at its first
call: its outputs' shapes here, its launch by the launcher.

A package with a kernel for the backward pass has it in the folder `backward`, as a package of the
same make. Its inputs and outputs are called as the forward kernel's, gradients with a `d` before.
"""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
FACTS: dict[str, Any] = json.loads((HERE / "launches.json").read_text(encoding="utf-8"))
SHAPES: list[dict[str, Any]] = FACTS["shapes"]
SETTINGS: list[dict[str, str]] = FACTS["settings"]
INPUTS = [t["name"] for t in SHAPES[0]["inputs"]]
OUTPUTS = [t["name"] for t in SHAPES[0]["outputs"]]
_DTYPES = [getattr(torch, t["dtype"]) for t in SHAPES[0]["inputs"]]
_DEVICE: str = FACTS["device"]
SINGLE = len(SHAPES[0]["outputs"]) == 1
_DOMAIN: dict[str, Any] | None = FACTS["domain"]
_FUNCTIONS = {"__builtins__": {}, "min": min, "max": max, "ceil_div": lambda a, b: -(-a // b)}

_Shapes = tuple[tuple[int, ...], ...]


def _key(shape: dict[str, Any]) -> tuple[_Shapes, tuple[Any, ...]]:
    sizes = tuple(tuple(t["shape"]) for t in shape["inputs"])
    return sizes, tuple(shape["parameters"][s["name"]] for s in SETTINGS)


_NUMBERS: dict[Any, int] = {}
_ADDING = threading.Lock()
for _number, _shape in enumerate(SHAPES):
    _NUMBERS.setdefault(_key(_shape), _number)


def _number_of(inputs: Sequence[torch.Tensor], settings: tuple[Any, ...]) -> int:
    """Which of the shapes this is. Raises ValueError or TypeError that says what is possible."""
    # int(): under tracing with dynamic shapes, a size becomes the number that it is here.
    sizes = tuple(tuple(map(int, t.shape)) for t in inputs)
    number = _NUMBERS.get((sizes, settings))
    for name, tensor, dtype in zip(INPUTS, inputs, _DTYPES, strict=True):
        if tensor.dtype != dtype:
            raise TypeError(f"{name} is {tensor.dtype}; this kernel was checked with {dtype}")
        if tensor.device.type != _DEVICE:
            raise ValueError(f"{name} is on {tensor.device}; this kernel runs on {_DEVICE}")
    if number is None:
        new = _new_shape(sizes, settings)
        with _ADDING:
            number = _NUMBERS.setdefault((sizes, settings), len(SHAPES))
            if number == len(SHAPES):
                SHAPES.append({**new, "name": f"called-{number}"})
    return number


def _new_shape(sizes: _Shapes, settings: tuple[Any, ...]) -> dict[str, Any]:
    """A shape of the domain. Raises ValueError, with a sentence, for one outside."""
    if _DOMAIN is None:
        raise ValueError(_unknown(sizes, settings))
    values = dict(SHAPES[0]["parameters"])
    values.update(zip((s["name"] for s in SETTINGS), settings, strict=True))
    for name, size in zip(INPUTS, sizes, strict=True):
        dimensions = _DOMAIN["inputs"][name]
        if len(size) != len(dimensions):
            raise ValueError(f"{name} has {len(size)} dimensions; it has to be {dimensions}")
        values.update(
            {d: n for d, n in zip(dimensions, size, strict=True) if d in _DOMAIN["sizes"]}
        )

    def value(expression: Any) -> Any:
        if isinstance(expression, str):
            return eval(expression, _FUNCTIONS, values)  # noqa: S307 (the package's own)
        return expression

    for name, (least, most, *step) in _DOMAIN["sizes"].items():
        if not least <= values[name] <= most or (step and values[name] % step[0]):
            multiples = f"multiples of {step[0]} from " if step else ""
            raise ValueError(
                f"{name} is {values[name]}; this kernel takes {multiples}{least} to {most}"
            )
    for name, size in zip(INPUTS, sizes, strict=True):
        wanted = tuple(map(value, _DOMAIN["inputs"][name]))
        if wanted != size:
            raise ValueError(f"{name} is {size}; beside the other inputs it has to be {wanted}")
    for rule in _DOMAIN["where"]:
        if not value(rule):
            held = ", ".join(f"{name} = {values[name]}" for name in _DOMAIN["sizes"])
            raise ValueError(f"{rule} has to hold; it does not for {held}")
    names = {name.upper(): number for name, number in values.items()}
    names.update({name: value(text) for name, text in _DOMAIN["names"].items()})
    tensors = {
        kind: [
            {**t, "shape": [value(d) for d in _DOMAIN[kind][t["name"]]]} for t in SHAPES[0][kind]
        ]
        for kind in ("inputs", "outputs")
    }
    launch = {"of": _DOMAIN["launch"], "names": names}
    return {**tensors, "parameters": values, "checked": False, "launch": launch}


def _unknown(asked: _Shapes, settings: tuple[Any, ...]) -> str:
    def text(sizes: Sequence[Sequence[int]], values: Sequence[Any]) -> str:
        parts = [f"{n} {tuple(size)}" for n, size in zip(INPUTS, sizes, strict=True)]
        named = zip(SETTINGS, values, strict=True)
        return ", ".join([*parts, *(f"{s['name']}={value}" for s, value in named)])

    known = "\n".join(f"  {text(*key)}" for key in _NUMBERS)
    return (
        f"{text(asked, settings)}: this kernel was not checked on that. It was on:\n{known}\n"
        "For another shape export it again with --shape."
    )


def _check_layout(inputs: Sequence[torch.Tensor]) -> None:
    device = inputs[0].device
    for name, tensor in zip(INPUTS, inputs, strict=True):
        if not tensor.is_contiguous():
            raise ValueError(f"{name} is not contiguous; use .contiguous()")
        if tensor.device != device:
            raise ValueError(f"{name} is on {tensor.device} and {INPUTS[0]} on {device}")


@lru_cache(maxsize=1)
def _launcher() -> Any:
    from .launch import Launcher

    return Launcher(HERE, SHAPES, FACTS["entry"])


def _run(*arguments: Any) -> Any:
    inputs, settings = arguments[: len(INPUTS)], arguments[len(INPUTS) :]
    # One pass over the inputs finds what can be run; only what cannot is looked at for the reason.
    number = _NUMBERS.get((tuple([t.shape for t in inputs]), settings))
    device = inputs[0].get_device()
    for tensor, dtype in zip(inputs, _DTYPES, strict=True):
        fits = tensor.dtype is dtype and tensor.get_device() == device
        if not (fits and tensor.is_contiguous()):
            number = None
    if number is None:
        number = _number_of(inputs, settings)
        _check_layout(inputs)
    outputs = _launcher()(number, inputs)
    return outputs[0] if SINGLE else outputs


def _fake(*arguments: Any) -> Any:
    """Shapes and dtypes of the outputs, for tracing."""
    inputs = arguments[: len(INPUTS)]
    shape = SHAPES[_number_of(inputs, arguments[len(INPUTS) :])]
    outputs = tuple(
        inputs[0].new_empty(tuple(t["shape"]), dtype=getattr(torch, t["dtype"]))
        for t in shape["outputs"]
    )
    return outputs[0] if SINGLE else outputs


def _schema() -> str:
    inputs = [f"Tensor {name}" for name in INPUTS]
    settings = [f"{s['kind']} {s['name']}" for s in SETTINGS]
    outputs = ", ".join("Tensor" for _ in SHAPES[0]["outputs"])
    result = outputs if SINGLE else f"({outputs})"
    return f"{FACTS['function']}({', '.join([*inputs, *settings])}) -> {result}"


# `torch.library.custom_op` does these four things too, and adds some 20 µs to each call.
_LIBRARY = torch.library.Library(FACTS["package"], "DEF")
_LIBRARY.define(_schema())
_LIBRARY.impl(FACTS["function"], _run, "CUDA" if _DEVICE == "cuda" else "CPU")
torch.library.register_fake(f"{FACTS['package']}::{FACTS['function']}", _fake, lib=_LIBRARY)
operator: Callable[..., Any] = getattr(
    getattr(torch.ops, FACTS["package"]), FACTS["function"]
).default
"""The operator itself: inputs, then settings, all by position."""


_BACKWARD: Any = (
    importlib.import_module(".backward.operator_of", __package__) if FACTS["backward"] else None
)
_WANTED = _BACKWARD.INPUTS if _BACKWARD else []
_SHOWN = [n for n, name in enumerate(OUTPUTS) if not _BACKWARD or f"d{name}" in _WANTED]
"""Outputs that a caller gets; the others are there for the backward pass alone."""


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keeps what the backward kernel takes of this call."""
    outputs = (output,) if SINGLE else output
    tensors = dict(zip([*INPUTS, *OUTPUTS], [*inputs[: len(INPUTS)], *outputs], strict=True))
    ctx.kept = [name for name in _WANTED if name in tensors]
    ctx.save_for_backward(*(tensors[name] for name in ctx.kept))
    ctx.settings = {s["name"]: v for s, v in zip(SETTINGS, inputs[len(INPUTS) :], strict=True)}
    ctx.mark_non_differentiable(*(t for n, t in enumerate(outputs) if n not in _SHOWN))


def _gradients(ctx: Any, *above: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """Of the inputs, from those of the outputs; of no setting."""
    if not _BACKWARD:
        raise NotImplementedError(
            f"{FACTS['package']}.{FACTS['function']} is forward only: this kernel has no backward"
        )
    tensors = dict(zip(ctx.kept, ctx.saved_tensors, strict=True))
    tensors |= {f"d{OUTPUTS[n]}": above[n].contiguous() for n in _SHOWN}
    settings = (ctx.settings[s["name"]] for s in _BACKWARD.SETTINGS)
    computed = _BACKWARD.operator(*(tensors[name] for name in _WANTED), *settings)
    results = [computed] if _BACKWARD.SINGLE else computed
    named = dict(zip(_BACKWARD.OUTPUTS, results, strict=True))
    return *(named.get(f"d{name}") for name in INPUTS), *(None for _ in SETTINGS)


torch.library.register_autograd(
    f"{FACTS['package']}::{FACTS['function']}", _gradients, setup_context=_remember, lib=_LIBRARY
)


_PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Types of tensors that mean just their memory; a subclass may mean more."""


def _unwatched() -> bool:
    """Whether no compiler, tracer, mode or transform of torch has to see which operators run."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state() is not None
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def _in_memory(tensor: torch.Tensor) -> bool:
    """Whether the tensor's numbers are in the memory of this package's device as they are."""
    here = tensor.is_cuda if _DEVICE == "cuda" else tensor.is_cpu
    lazy = tensor.is_neg() or tensor.is_conj() or tensor._is_zerotensor()
    return here and type(tensor) in _PLAIN and not lazy


def call(*arguments: Any) -> Any:
    """The operator's outputs that a caller gets.

    Where nothing has to see the operator, its kernel is called without torch's dispatcher, which
    takes some microseconds.
    """
    wanted, plain = False, _unwatched()
    for tensor in arguments[: len(INPUTS)]:
        wanted = wanted or tensor.requires_grad
        plain = plain and _in_memory(tensor)
    plain = plain and not (wanted and torch.is_grad_enabled())
    result = _run(*arguments) if plain else operator(*arguments)
    if len(_SHOWN) == len(OUTPUTS):
        return result
    shown = tuple(result[n] for n in _SHOWN)
    return shown[0] if len(shown) == 1 else shown
