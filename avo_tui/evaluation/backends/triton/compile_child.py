"""Runs a candidate's `launch` on stand-ins for tensors and compiles each kernel that it launches.

Started in the sandbox as a file, not as a module of the package:
`python compile_child.py request.json reply.json`, both in the current folder, with the candidate's
files in `src/`. It writes a PTX text for each kernel, and what is launched with which arguments.
All of that is the candidate's word: who reads it checks it, and assembles the PTX elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import json
import math
import sys
import traceback
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

    def __init__(self, capability: int) -> None:
        from triton.backends.compiler import GPUTarget

        self.target = GPUTarget("cuda", capability, 32)
        self.kernels: dict[str, int] = {}
        """Hash of a compiled kernel → its number."""
        self.launches: list[dict[str, Any]] = []
        self.workspaces: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """Forgets the launches of the configuration before."""
        self.launches, self.workspaces = [], {}

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
        blocks = math.prod(extent) * meta.num_ctas
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
                "grid": [int(n) for n in (*extent, 1, 1)[:3]],
                "warps": int(meta.num_warps),
                "blocks": int(meta.num_ctas),
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


def _load(file: str) -> Any:
    """The function `launch` of the candidate."""
    sys.path.insert(0, str(Path("src").resolve()))
    sys.dont_write_bytecode = True
    path = Path("src", file).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    launch = getattr(module, "launch", None)
    if not callable(launch):
        raise CandidateError(f"{file} has no function launch")
    return launch


def _arguments(launch: Any, configuration: dict[str, Any], recorder: Recorder) -> dict[str, Any]:
    """What `launch` is called with: tensors and names of the configuration, by its parameters."""
    known: dict[str, Any] = {**configuration["names"], "workspace": recorder.workspace}
    for tensor in configuration["tensors"]:
        known[tensor["name"]] = Tensor(tensor["name"], tensor["dtype"], tuple(tensor["shape"]))
    wanted = inspect.signature(launch).parameters
    unknown = [
        name for name, p in wanted.items() if name not in known and p.default is inspect._empty
    ]
    if unknown:
        raise CandidateError(
            f"launch wants {', '.join(unknown)}; it can have: {', '.join(sorted(known))}"
        )
    return {name: known[name] for name in wanted if name in known}


def _trouble(error: BaseException) -> dict[str, str]:
    """What the agent is told of an exception: its text, and where in the candidate's files."""
    own = str(Path("src").resolve())
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(own)]
    where = "".join(
        f"{f.filename.removeprefix(own + '/')}:{f.lineno}: in {f.name}: {f.line}\n" for f in frames
    )
    text = str(error).strip() or type(error).__name__
    kind = "" if isinstance(error, CandidateError) else f"{type(error).__name__}: "
    cause = error.__cause__
    more = f"\n{type(cause).__name__}: {cause}" if cause is not None else ""
    return {"error": f"{kind}{text}".replace(f"{own}/", ""), "log": f"{where}{kind}{text}{more}"}


def main(request_file: str, reply_file: str) -> None:
    """Compiles what the request says and writes the reply."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    reply: dict[str, Any] = {"configurations": {}}
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            import triton

            _prepare()
            recorder = Recorder(request["capability"])
            triton.runtime.jit.JITFunction.run = lambda self, *args, **kwargs: recorder.run(
                self, *args, **kwargs
            )
            launch = _load(request["file"])
            for configuration in request["configurations"]:
                recorder.begin()
                try:
                    launch(**_arguments(launch, configuration, recorder))
                except (Exception, SystemExit) as error:
                    reply["configurations"][configuration["name"]] = _trouble(error)
                    break
                reply["configurations"][configuration["name"]] = {
                    "launches": recorder.launches,
                    "workspaces": recorder.workspaces,
                }
        except (Exception, SystemExit) as error:
            reply["trouble"] = _trouble(error)
    reply["printed"] = output.getvalue()[-8000:]
    Path(reply_file).write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
