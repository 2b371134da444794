"""The end of an exported Triton kernel: how its `launch` is called with torch's tensors.

A part of the exported file, behind the candidate's own text; avo-tui only copies it.
"""

# ruff: noqa: E402
from __future__ import annotations

from typing import Any

_SHAPES: list[dict[str, Any]] = []


def launch(**arguments: Any) -> None:
    """The candidate's."""


# ---- what follows is written to the exported file
import inspect as _inspect
import os as _os
import sys as _sys
from typing import Any as _Any

import torch as _torch

# As in the measurement: a product and a sum are fused into one operation.
_os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

_SHORT = {
    "bf16": "bfloat16", "f16": "float16", "f32": "float32", "f64": "float64", "i8": "int8",
    "u8": "uint8", "i16": "int16", "u16": "uint16", "i32": "int32", "u32": "uint32", "i64": "int64",
    "u64": "uint64", "fp16": "float16", "fp32": "float32", "fp64": "float64", "int1": "bool",
    "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2", "fp8e4nv": "float8_e4m3fn",
    "fp8e5": "float8_e5m2",
}  # fmt: skip
"""Names of element types, short ones and Triton's → torch's."""


def _workspace_on(device: _Any) -> _Any:
    """What the kernel's `launch` calls for memory between its launches."""

    def workspace(shape: _Any, dtype: _Any, zero: bool = False) -> _Any:
        name = str(dtype).removeprefix("torch.")
        element = getattr(_torch, _SHORT.get(name, name))
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        return (_torch.zeros if zero else _torch.empty)(sizes, dtype=element, device=device)

    return workspace


def _run(shape: _Any, inputs: _Any) -> _Any:
    """The outputs for one row of _SHAPES."""
    device = inputs[0].device
    outputs = [
        _torch.empty(sizes, dtype=getattr(_torch, dtype), device=device)
        for _, dtype, sizes in shape["outputs"]
    ]
    known = {**shape["names"], "workspace": _workspace_on(device)}
    names = [name for name, _, _ in (*shape["inputs"], *shape["outputs"])]
    known.update(zip(names, (*inputs, *outputs), strict=True))
    wanted = _inspect.signature(launch).parameters
    launch(**{name: known[name] for name in wanted if name in known})
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _shape_of(inputs: _Any, settings: _Any) -> _Any:
    """The row of _SHAPES for these tensors. Raises ValueError."""
    given = [tuple(tensor.shape) for tensor in inputs]
    for shape in _SHAPES:
        same = all(shape["parameters"].get(name) == value for name, value in settings.items())
        if same and given == [sizes for _, _, sizes in shape["inputs"]]:
            return shape
    sizes = ", ".join(str(list(t.shape)) for t in inputs)
    raise ValueError(f"the kernel was not checked on shapes {sizes} with {settings}")


def _call(inputs: _Any, settings: _Any) -> _Any:
    """Runs the kernel on tensors of a GPU. Raises ValueError and TypeError."""
    shape = _shape_of(inputs, settings)
    for tensor, (name, dtype, _) in zip(inputs, shape["inputs"], strict=True):
        if tensor.dtype is not getattr(_torch, dtype):
            raise TypeError(f"{name} is {tensor.dtype}; the kernel takes {dtype}")
        if tensor.device != inputs[0].device or tensor.device.type != "cuda":
            raise ValueError(f"{name} is on {tensor.device}; all inputs belong on one GPU")
        if not tensor.is_contiguous() or tensor.data_ptr() % 16:
            raise ValueError(f"{name} must be contiguous and aligned to 16 bytes; use .clone()")
    with _torch.cuda.device(inputs[0].device):
        return _run(shape, inputs)


def _compile_all(architecture: str) -> None:
    """Compiles what every shape launches, for an architecture such as sm_90a; needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget

    number = int("".join(c for c in architecture if c.isdigit()))

    class NoDevice:
        """In place of Triton's driver: says what to compile for."""

        get_current_device = staticmethod(lambda: 0)
        get_current_stream = staticmethod(lambda device: 0)
        get_current_target = staticmethod(lambda: GPUTarget("cuda", number, 32))

    compiled: dict[str, _Any] = {}
    launched = triton.runtime.JITFunction.run

    def compile_only(kernel: _Any, *args: _Any, grid: _Any, warmup: bool, **kwargs: _Any) -> _Any:
        built = launched(kernel, *args, grid=grid, warmup=True, **kwargs)
        compiled[built.hash] = built
        return built

    triton.runtime.driver.set_active(NoDevice())
    triton.runtime.JITFunction.run = compile_only
    for shape in _SHAPES:
        known = set(compiled)
        tensors = [
            _torch.empty(sizes, dtype=getattr(_torch, dtype), device="meta")
            for _, dtype, sizes in shape["inputs"]
        ]
        _run(shape, tensors)
        for key in compiled.keys() - known:
            built = compiled[key]
            size, shared = len(built.asm["cubin"]), built.metadata.shared
            print(f"{shape['name']}: {built.name}: {size} bytes, {shared} of shared memory")
    print(f"{len(compiled)} kernels compiled for {architecture}")


def _main(architecture: str) -> None:
    """What the file does as a program: compiles for the architecture of the command line."""
    _compile_all(_sys.argv[1] if len(_sys.argv) > 1 else architecture)
