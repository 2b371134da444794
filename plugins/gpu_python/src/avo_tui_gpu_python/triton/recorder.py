"""Compiles the Triton kernels that a candidate's `launch` launches, and writes the launches down.

Loaded in the sandbox by `recording.py`, as a file and not as a module of the package. Writes a PTX
text for each kernel. All of it is the candidate's word.
"""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

DTYPES = {
    "bf16": "bfloat16", "f16": "float16", "f32": "float32", "f64": "float64", "i8": "int8",
    "u8": "uint8", "i16": "int16", "u16": "uint16", "i32": "int32", "u32": "uint32", "i64": "int64",
    "u64": "uint64", "bool": "int1", "f8e4m3": "float8e4nv", "f8e5m2": "float8e5",
}  # fmt: skip
"""Our name of an element type → Triton's."""
BYTES = {
    "bf16": 2, "f16": 2, "f32": 4, "f64": 8, "i8": 1, "u8": 1, "i16": 2, "u16": 2, "i32": 4,
    "u32": 4, "i64": 8, "u64": 8, "bool": 1, "f8e4m3": 1, "f8e5m2": 1,
}  # fmt: skip
POINTERS = {
    "bf16": "bf16", "f16": "fp16", "f32": "fp32", "f64": "fp64", "bool": "i1", "f8e4m3": "fp8e4nv",
    "f8e5m2": "fp8e5",
}  # fmt: skip
"""How a kernel's signature calls an element type, where not by our name."""
ALIGNMENT = 16
"""Bytes; what Triton makes use of where a pointer or a size is a multiple of it."""
MOST_LAUNCHES = 64
THREADS_PER_WARP = 32


class CandidateError(Exception):
    """What the candidate did cannot be compiled; the text says why."""


class Tensor:
    """Stands for a tensor that the harness will hand to the kernel: everything but its values."""

    def __init__(self, buffer: str, dtype: str, shape: tuple[int, ...], offset: int = 0) -> None:
        import triton.language as tl

        self.buffer, self.element, self.offset = buffer, dtype, offset
        self.shape = tuple(shape)
        self.dtype = getattr(tl, DTYPES[dtype])
        self.device = "cuda"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements from one index to the next, of each dimension; the tensor is contiguous."""
        return tuple(math.prod(self.shape[i + 1 :]) for i in range(len(self.shape)))

    def stride(self, dim: int | None = None) -> Any:
        """As torch has it."""
        return self.strides if dim is None else self.strides[dim]

    def size(self, dim: int | None = None) -> Any:
        """As torch has it."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def element_size(self) -> int:
        """Bytes of one element."""
        return BYTES[self.element]

    def is_contiguous(self) -> bool:
        """Always."""
        return True

    def data_ptr(self) -> int:
        """There is no address yet: kernels are launched later, and by somebody else."""
        raise CandidateError("a tensor has no address here; give the kernel the tensor itself")


class Recorder:
    """Takes the place of a launch: compiles the kernel and writes down what it would be given."""

    def __init__(self, architecture: str) -> None:
        """`architecture` is such as `sm_90a`."""
        import triton
        from triton.backends.compiler import GPUTarget

        _prepare()
        triton.runtime.jit.JITFunction.run = lambda kernel, *args, **kwargs: self.run(
            kernel, *args, **kwargs
        )
        number = int("".join(c for c in architecture if c.isdigit()))
        self.target = GPUTarget("cuda", number, THREADS_PER_WARP)
        self.kernels: dict[str, int] = {}
        """Hash of a compiled kernel → its number."""
        self.launches: list[dict[str, Any]] = []
        self.workspaces: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """Forgets the launches of the configuration before."""
        self.launches, self.workspaces = [], {}

    def extras(self) -> dict[str, Any]:
        """What `launch` can ask for besides the task's tensors and names."""
        return {"workspace": self.workspace}

    def tensor(self, name: str, dtype: str, shape: tuple[int, ...]) -> Tensor:
        """Stands for one of the task's tensors."""
        return Tensor(name, dtype, shape)

    def call(self, launch: Any, arguments: dict[str, Any]) -> None:
        """Runs the candidate's `launch`."""
        launch(**arguments)

    def workspace(self, shape: Any, dtype: Any, zero: bool = False) -> Tensor:
        """Memory between launches; with `zero` it holds zeros at the beginning of each run."""
        names = {v: k for k, v in DTYPES.items()}
        element = dtype if isinstance(dtype, str) and dtype in BYTES else names.get(_plain(dtype))
        if element is None:
            raise CandidateError(f"workspace: {dtype!r} is not one of {', '.join(BYTES)}")
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        name = f"workspace_{len(self.workspaces)}"
        size = max(1, math.prod(sizes)) * BYTES[element]
        self.workspaces[name] = {"bytes": size, "zero": bool(zero)}
        return Tensor(name, element, sizes)

    def run(self, kernel: Any, *args: Any, grid: Any, warmup: bool = False, **kwargs: Any) -> None:
        """What `kernel[grid](…)` calls."""
        from triton.compiler import ASTSource, compile

        if len(self.launches) >= MOST_LAUNCHES:
            raise CandidateError(f"more than {MOST_LAUNCHES} launches in one run")
        names = [p.name for p in kernel.params]
        options = {k: v for k, v in kwargs.items() if k not in names}
        bound = inspect.signature(kernel.fn).bind(
            *args, **{k: v for k, v in kwargs.items() if k in names}
        )
        bound.apply_defaults()
        signature, constants, attributes, given = _specialise(kernel, bound.arguments)
        extent = grid({**bound.arguments, **options}) if callable(grid) else grid
        extent = (extent,) if isinstance(extent, int) else tuple(extent)
        source = ASTSource(kernel, signature, constants, attributes)
        built = compile(source, target=self.target, options=options)
        meta = built.metadata
        number = self.kernels.setdefault(built.hash, len(self.kernels))
        Path(f"kernel-{number}.ptx").write_text(built.asm["ptx"], encoding="utf-8")
        if extent and math.prod(extent) == 0:
            return  # as Triton does: nothing to launch
        x, y, z = (int(n) for n in (*extent, 1, 1)[:3])
        blocks = x * y * z * meta.num_ctas
        for size, label in (
            (meta.global_scratch_size, "scratch"),
            (getattr(meta, "profile_scratch_size", 0), "profile"),
        ):
            if not size:
                given.append({"kind": "u64", "value": 0})
                continue
            name = f"{label}_{len(self.launches)}"
            self.workspaces[name] = {"bytes": size * blocks, "zero": False}
            given.append({"kind": "pointer", "buffer": name, "value": 0})
        self.launches.append(
            {
                "kernel": number,
                "symbol": meta.name,
                "name": kernel.fn.__name__,
                "line": kernel.fn.__code__.co_firstlineno,
                "grid": [x * int(meta.num_ctas), y, z],
                "block": [int(meta.num_warps) * THREADS_PER_WARP, 1, 1],
                "cluster": [int(meta.num_ctas), 1, 1],
                "shared": int(meta.shared),
                "cooperative": bool(meta.launch_cooperative_grid),
                "programmatic": bool(meta.launch_pdl),
                "arguments": given,
            }
        )


def _plain(dtype: Any) -> str:
    """`float32` for Triton's, torch's or a written one."""
    return str(dtype).removeprefix("torch.").replace("fp32", "float32").replace("fp16", "float16")


def _specialise(kernel: Any, arguments: dict[str, Any]) -> tuple[Any, Any, Any, list[Any]]:
    """(signature, constants, attributes, what the launch is given), as Triton's launcher does."""
    signature: dict[str, str] = {}
    constants: dict[tuple[int, ...], Any] = {}
    attributes: dict[tuple[int, ...], list[list[Any]]] = {}
    given: list[dict[str, Any]] = []
    for index, param in enumerate(kernel.params):
        value = arguments[param.name]
        plain = param.do_not_specialize
        if param.is_constexpr or value is None or (_whole(value) and value == 1 and not plain):
            signature[param.name], constants[(index,)] = "constexpr", value
            continue
        multiple = False
        if isinstance(value, Tensor):
            signature[param.name] = f"*{POINTERS.get(value.element, value.element)}"
            multiple = value.offset % ALIGNMENT == 0
            given.append({"kind": "pointer", "buffer": value.buffer, "value": value.offset})
        elif isinstance(value, bool):
            signature[param.name] = "i32"
            given.append({"kind": "i32", "value": int(value)})
        elif _whole(value):
            kind = "i32" if -(1 << 31) <= value < 1 << 31 else "i64" if value < 1 << 63 else "u64"
            signature[param.name] = kind
            multiple = value % ALIGNMENT == 0
            given.append({"kind": kind, "value": int(value)})
        elif isinstance(value, float):
            signature[param.name] = "fp32"
            given.append({"kind": "f32", "value": value})
        else:
            raise CandidateError(
                f"argument {param.name} of {kernel.fn.__name__} is a {type(value).__name__}; a "
                "kernel takes tensors, numbers and constexpr. Descriptors are made in the kernel, "
                "with tl.make_tensor_descriptor"
            )
        if multiple and not plain:
            attributes[(index,)] = [["tt.divisibility", ALIGNMENT]]
    return signature, constants, attributes, given


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _prepare() -> None:
    """Puts the recorder where Triton launches, and leaves the assembler to somebody else."""
    import triton
    from triton.backends.nvidia.compiler import CUDABackend

    CUDABackend.make_cubin = lambda *args: b""

    def refused(*args: Any, **kwargs: Any) -> None:
        raise CandidateError(
            "there is no device here to time on: declare what may be tuned as a constant with a "
            "comment # tune: and pass it to the kernel, instead of triton.autotune"
        )

    triton.runtime.autotuner.Autotuner.run = refused
