"""Compiles a candidate's CuTe DSL function `launch` and writes down what it launches.

Loaded in the sandbox by `recording.py`, as a file and not as a module of the package. Writes a PTX
text for each compilation. All of it is the candidate's word.
"""

from __future__ import annotations

import ast
import ctypes
import importlib
import importlib.util
import inspect
import math
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DTYPES = {
    "bf16": "BFloat16", "f16": "Float16", "f32": "Float32", "f64": "Float64", "i8": "Int8",
    "u8": "Uint8", "i16": "Int16", "u16": "Uint16", "i32": "Int32", "u32": "Uint32",
    "i64": "Int64", "u64": "Uint64", "bool": "Boolean", "f8e4m3": "Float8E4M3FN",
    "f8e5m2": "Float8E5M2",
}  # fmt: skip
"""Our name of an element type → CuTe DSL's."""
ALIGNMENT = 16
"""Bytes; what a kernel may rely on for the address of a tensor or workspace."""
WORKSPACE_BITS = 36
"""Workspaces are this far apart in the addresses that stand for them, as a power of two."""
MOST_WORKSPACES = 64
MOST_LAUNCHES = 64
BASES = (1 << 50, 1 << 51)
"""Where the addresses that stand for buffers begin, in the first and in the second run."""
BUFFER_BITS = 43
"""Buffers are this far apart in these addresses, as a power of two."""
MOVE = 1 << 20
"""In the second run buffer n lies n times this many bytes further, so that no two move alike."""
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\(([^)]*)\)")
_PARAM = re.compile(r"\.param(?:\s+\.\w+|\s+\d+)*?\s+\.[a-z]+(\d+)\b[^\[]*(?:\[(\d+)\])?")


def _part(name: str) -> Any:
    """The module of a file beside this one, known by the name that it has in the package.

    The package itself cannot be imported in the sandbox: it is not there.
    """
    path = Path(__file__).with_name(f"{name}.py")
    full = f"avo_tui_gpu_python.cute.{name}"
    spec = importlib.util.spec_from_file_location(full, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "recorder":  # in the sandbox
    host_types = _part("host_types")
    host_values = _part("host_values")
    host_code = _part("host_code")
else:
    host_types = importlib.import_module("avo_tui_gpu_python.cute.host_types")
    host_values = importlib.import_module("avo_tui_gpu_python.cute.host_values")
    host_code = importlib.import_module("avo_tui_gpu_python.cute.host_code")

CandidateError = host_types.CandidateError


class Workspaces:
    """What `launch` calls for memory between its launches.

    To CuTe DSL it is one pointer among the arguments (its protocol for arguments of one's own);
    each workspace begins at a multiple of 2**WORKSPACE_BITS bytes behind it.
    """

    def __init__(self, spaces: dict[str, dict[str, Any]], tensor: Any) -> None:
        self._spaces, self._tensor = spaces, tensor
        self._address = ctypes.c_uint64(0)

    def __c_pointers__(self) -> list[int]:
        return [ctypes.addressof(self._address)]

    def __get_mlir_types__(self) -> Any:
        return self._tensor.__get_mlir_types__()

    def __new_from_mlir_values__(self, values: Any) -> Workspaces:
        return Workspaces(self._spaces, self._tensor.__new_from_mlir_values__(values))

    def __call__(self, shape: Any, dtype: Any, zero: bool = False) -> Any:
        """A tensor of this shape, its last dimension contiguous.

        `dtype` is such as `cutlass.Float32` or "f32"; with `zero` it holds zeros at the beginning
        of each run, otherwise junk.
        """
        import cutlass
        from cutlass import cute

        if isinstance(dtype, str):
            if dtype not in DTYPES:
                raise CandidateError(f"workspace: {dtype!r} is not one of {', '.join(DTYPES)}")
            dtype = getattr(cutlass, DTYPES[dtype])
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if not all(isinstance(n, int) and n > 0 for n in sizes):
            raise CandidateError(
                f"workspace: the shape {sizes} must be numbers that are known when it is compiled; "
                "mark the parameter of launch as cutlass.Constexpr"
            )
        number = len(self._spaces)
        if number >= MOST_WORKSPACES:
            raise CandidateError(f"more than {MOST_WORKSPACES} workspaces")
        size = max(1, math.prod(sizes) * int(dtype.width) // 8)
        if size >= 1 << WORKSPACE_BITS:
            raise CandidateError(f"workspace: {size} bytes are too many")
        self._spaces[f"workspace_{number}"] = {"bytes": size, "zero": bool(zero)}
        begin = self._tensor.iterator + (number << WORKSPACE_BITS)
        strides = tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))
        return cute.make_tensor(
            cute.recast_ptr(begin, dtype=dtype), cute.make_layout(sizes, stride=strides)
        )


class Recorder:
    """Compiles `launch` for one configuration after the other, and records what each launches."""

    def __init__(self, architecture: str) -> None:
        """`architecture` is such as `sm_90a`."""
        os.environ["CUTE_DSL_ARCH"] = architecture
        Path(os.environ["CUTE_DSL_DUMP_DIR"]).mkdir(exist_ok=True)
        warnings.simplefilter("ignore")  # the DSL's own remarks on its names
        self._texts: dict[str, int] = {}
        self._kernels = _kernels(Path("src"))
        self._buffers: dict[int, tuple[str, int]] = {}
        """Identity of an argument that stands for a buffer → its name and bytes."""
        self.launches: list[dict[str, Any]] = []
        self.workspaces: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """Forgets the launches of the configuration before."""
        self.launches, self.workspaces, self._buffers = [], {}, {}

    def tensor(self, name: str, dtype: str, shape: tuple[int, ...]) -> Any:
        """Stands for one of the task's tensors: contiguous, its shape known to the compiler."""
        import cutlass
        from cutlass.cute.runtime import make_fake_compact_tensor

        if dtype not in DTYPES:
            raise CandidateError(f"{name} is {dtype}, which CuTe DSL has no type for")
        element = getattr(cutlass, DTYPES[dtype])
        sizes = shape or (1,)
        order = tuple(reversed(range(len(sizes))))
        tensor = make_fake_compact_tensor(
            element, sizes, stride_order=order, assumed_align=ALIGNMENT
        )
        self._buffers[id(tensor)] = name, max(1, math.prod(sizes) * int(element.width) // 8)
        return tensor

    def extras(self) -> dict[str, Any]:
        """What `launch` can ask for besides the task's tensors and names."""
        import cutlass
        from cuda.bindings import driver
        from cutlass.cute.runtime import make_fake_compact_tensor

        size = MOST_WORKSPACES << WORKSPACE_BITS
        arena = make_fake_compact_tensor(cutlass.Uint8, (size,), assumed_align=ALIGNMENT)
        spaces = Workspaces(self.workspaces, arena)
        self._buffers[id(spaces)] = "", size
        return {"workspace": spaces, "stream": driver.CUstream(0)}

    def call(self, launch: Any, arguments: Mapping[str, Any]) -> None:
        """Compiles `launch` for these arguments and records what it launches."""
        from cutlass import cute

        if not hasattr(launch, "__wrapped__"):
            raise CandidateError("launch must be decorated with @cute.jit")
        compiled = cute.compile(launch, *arguments.values())
        ptx = compiled.artifacts.PTX if compiled.artifacts is not None else None
        if not ptx:
            raise CandidateError("launch launches nothing")
        entries = {name: _sizes(params) for name, params in _ENTRY.findall(ptx)}
        values = _dynamic(launch, arguments)
        runs = []
        for which in range(len(BASES)):
            host = host_code.Host(compiled.ir_module, lambda g: entries[_entry_of(g, entries)])
            host.call(compiled.function_name, self._given(host, compiled, values, which))
            runs.append(host.launches)
        if len(runs[0]) > MOST_LAUNCHES:
            raise CandidateError(f"more than {MOST_LAUNCHES} launches in one run")
        names = {entry: self._name_of(entry) for entry in entries}
        symbols = {entry: f"{names[entry]}_{n}" for n, entry in enumerate(sorted(entries))}
        number = self._written(ptx, symbols)
        buffers = [self._buffers[id(v)] for v in values if id(v) in self._buffers]
        for first, second in zip(*runs, strict=True):
            entry = _entry_of(first.kernel, entries)
            self.launches.append(
                {
                    "kernel": number,
                    "symbol": symbols[entry],
                    "name": names[entry],
                    "line": self._kernels.get(names[entry], 0),
                    "grid": first.grid,
                    "block": first.block,
                    "cluster": first.cluster,
                    "shared": first.shared,
                    "cooperative": first.cooperative,
                    "programmatic": first.programmatic,
                    "arguments": [
                        _argument(a, b, buffers)
                        for a, b in zip(first.params, second.params, strict=True)
                    ],
                }
            )

    def _given(self, host: Any, compiled: Any, values: Sequence[Any], which: int) -> list[bytes]:
        """The arguments of the host code: an address for each buffer, numbers as they are."""
        types = host.arguments_of(compiled.function_name)
        if len(types) != len(values):
            raise CandidateError(
                f"launch has {len(types)} arguments that are known when it runs, and {len(values)} "
                "were expected: let it take the task's tensors and names, workspace and stream only"
            )
        given, number = [], 0
        for kind, value in zip(types, values, strict=True):
            if id(value) in self._buffers:
                value = _address(number, which)
                number += 1
            given.append(host_values.as_bytes(value, kind))
        return given

    def _name_of(self, entry: str) -> str:
        """The function of the candidate that a kernel was compiled from."""
        rest = entry.removeprefix("kernel_cutlass_")
        fitting = [n for n in self._kernels if rest == n or rest.startswith(f"{n}_")]
        return max(fitting, key=len, default="kernel")

    def _written(self, ptx: str, symbols: Mapping[str, str]) -> int:
        """The number of the text; written where it is new, its symbols shortened."""
        for entry in sorted(symbols, key=len, reverse=True):
            ptx = ptx.replace(entry, symbols[entry])
        if ptx not in self._texts:
            Path(f"kernel-{len(self._texts)}.ptx").write_text(ptx, encoding="utf-8")
        return self._texts.setdefault(ptx, len(self._texts))


def _address(number: int, which: int) -> int:
    """Of the first byte of a buffer, in the first or second run."""
    return BASES[which] + (number << BUFFER_BITS) + which * number * MOVE


def _argument(first: bytes, second: bytes, buffers: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """A kernel's parameter, with the addresses that stand in it. Raises CandidateError."""
    addresses = []
    data = bytearray(first)
    moved = {_address(n, 1) - _address(n, 0): n for n in range(len(buffers))}
    for begin in range(0, len(first), 8):
        a, b = first[begin : begin + 8], second[begin : begin + 8]
        if a == b:
            continue
        number = moved.get(int.from_bytes(b, "little") - int.from_bytes(a, "little"))
        if len(a) < 8 or number is None:
            raise CandidateError(
                "launch computes with the address of a tensor in a way that cannot be recorded; "
                "give kernels tensors, pointers or tensor maps"
            )
        name, size = buffers[number]
        offset = int.from_bytes(a, "little") - _address(number, 0)
        if not name:
            name = f"workspace_{offset >> WORKSPACE_BITS}"
            offset &= (1 << WORKSPACE_BITS) - 1
        elif not 0 <= offset < size:
            raise CandidateError(f"a pointer begins outside {name}")
        addresses.append({"at": begin, "buffer": name, "value": offset})
        data[begin : begin + 8] = bytes(8)
    return {"kind": "bytes", "data": data.hex(), "addresses": addresses}


def _dynamic(launch: Any, arguments: Mapping[str, Any]) -> list[Any]:
    """The arguments that the compiled function still takes: all but those marked as constant."""
    wanted = inspect.signature(launch).parameters
    return [
        value
        for name, value in arguments.items()
        if "Constexpr" not in str(wanted[name].annotation)
    ]


def _entry_of(variable: str, entries: Mapping[str, Any]) -> str:
    """The kernel that a global variable of the host code stands for."""
    fitting = [entry for entry in entries if variable.endswith(entry)]
    if not fitting:
        raise CandidateError("a kernel that is launched was not compiled")
    return max(fitting, key=len)


def _sizes(params: str) -> list[int]:
    """Bytes of each parameter of a kernel, from its PTX."""
    return [
        int(match[1]) // 8 * int(match[2] or 1)
        for match in map(_PARAM.search, filter(str.strip, params.split(",")))
        if match is not None
    ]


def _kernels(folder: Path) -> dict[str, int]:
    """Functions decorated as kernels in the candidate's files → their lines."""
    lines = {}
    for path in sorted(folder.rglob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue  # importing it says what is wrong
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [ast.unparse(d).partition("(")[0] for d in node.decorator_list]
                if any(name.rpartition(".")[2] == "kernel" for name in names):
                    lines[node.name] = node.lineno
    return lines
