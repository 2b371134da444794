"""Runs the host code of a compiled CuTe DSL function without a GPU, to learn what it launches.

Loaded in the sandbox by `recorder.py`, as a file. The host code is the function that CuTe DSL has
lowered to MLIR's LLVM dialect: it computes grids, encodes tensor maps and calls the driver. Here it
is interpreted on addresses that stand for buffers; a call that would launch is written down.

A parameter of a kernel may hold an address among other bytes. Which bytes those are is found by
running twice with different addresses: eight bytes that differ by what a buffer was moved by are an
address in that buffer, and any other difference is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from avo_tui_gpu_python.cute.host_types import CandidateError, Type, type_of
from avo_tui_gpu_python.cute.host_values import (
    aggregate,
    computed,
    element_address,
    number_of,
    pointer,
)

MOST_STEPS = 1_000_000
MOST_MEMORY = 1 << 22
"""Bytes of the host's stack and constants."""
BASE = 1 << 20
COOPERATIVE, CLUSTER, PROGRAMMATIC = 2, 4, 6
"""Numbers of launch attributes (CUDA driver API, CUlaunchAttributeID)."""


@dataclass
class HostLaunch:
    """One launch as the host code asks for it."""

    kernel: str
    """The global variable that holds the kernel."""
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    cluster: tuple[int, int, int] = (1, 1, 1)
    cooperative: bool = False
    programmatic: bool = False
    params: list[bytes] = field(default_factory=list)


class Host:
    """Interprets one call of a function of a module; values are the bytes they have in memory.

    Values are known by their hashes, which are their addresses in MLIR: comparing two of them by
    `==` would build an operation, as CuTe DSL has changed it.
    """

    def __init__(self, module: Any, kernel_params: Callable[[str], Sequence[int]]) -> None:
        """`kernel_params` gives the sizes of a kernel's parameters, by its global variable."""
        self._kernel_params = kernel_params
        self._functions: dict[str, Any] = {}
        self._globals: dict[str, Any] = {}
        for op in module.body.operations:
            operation = op.operation
            name = operation.attributes["sym_name"].value
            if operation.name == "llvm.func":
                self._functions[name] = operation
            elif operation.name == "llvm.mlir.global":
                self._globals[name] = operation
        self._memory = bytearray()
        self._addresses: dict[str, int] = {}
        self._steps = 0
        self.launches: list[HostLaunch] = []

    def arguments_of(self, name: str) -> list[Type]:
        """The types of a function's arguments."""
        return [type_of(a.type) for a in self._functions[name].regions[0].blocks[0].arguments]

    def call(self, name: str, arguments: Sequence[bytes]) -> bytes:
        """Runs a function; its result, empty where it has none."""
        operation = self._functions[name]
        blocks = list(operation.regions[0].blocks)
        if not blocks:
            return self._outside(name, arguments)
        values: dict[int, bytes] = {}
        block, given = blocks[0], list(arguments)
        while True:
            values.update(zip(map(hash, block.arguments), given, strict=True))
            for op in block.operations:
                operation = op.operation
                self._steps += 1
                if self._steps > MOST_STEPS:
                    raise CandidateError("the host code of launch does not end")
                short = operation.name.removeprefix("llvm.")
                operands = [values[hash(o)] for o in operation.operands]
                if short == "return":
                    return operands[0] if operands else b""
                if short in {"br", "cond_br"}:
                    block, given = self._branch(operation, short, operands)
                    break
                if short in {"unreachable", "intr.trap"}:
                    raise CandidateError("the host code of launch stops with an error")
                result = self._execute(operation, short, operands)
                values.update((hash(value), result) for value in operation.results)
            else:
                raise CandidateError("the host code of launch has a block without an end")

    def _branch(
        self, operation: Any, short: str, operands: Sequence[bytes]
    ) -> tuple[Any, list[bytes]]:
        """(the block that is next, what it is given)."""
        if short == "br":
            return operation.successors[0], list(operands)
        _, first, _ = operation.attributes["operandSegmentSizes"]
        if operands[0][0] & 1:
            return operation.successors[0], list(operands[1 : 1 + first])
        return operation.successors[1], list(operands[1 + first :])

    # ---- memory

    def _allocate(self, size: int, align: int = 16) -> int:
        start = -(-len(self._memory) // align) * align
        if start + size > MOST_MEMORY:
            raise CandidateError("the host code of launch needs too much memory")
        self._memory.extend(bytes(start + size - len(self._memory)))
        return BASE + start

    def _read(self, address: int, size: int) -> bytes:
        start = address - BASE
        if start < 0 or start + size > len(self._memory):
            raise CandidateError(
                "launch reads a value of a tensor; none are known when kernels are compiled"
            )
        return bytes(self._memory[start : start + size])

    def _write(self, address: int, data: bytes) -> None:
        start = address - BASE
        if start < 0 or start + len(data) > len(self._memory):
            raise CandidateError("launch writes into a tensor; only kernels can")
        self._memory[start : start + len(data)] = data

    def _address_of(self, name: str) -> int:
        """Where a global variable is. One without a value holds its own address."""
        if name not in self._addresses:
            operation = self._globals.get(name)
            attributes = operation.attributes if operation is not None else {}
            if "value" in attributes and hasattr(attributes["value"], "value_bytes"):
                data = bytes(attributes["value"].value_bytes)
                self._addresses[name] = self._allocate(len(data))
                self._write(self._addresses[name], data)
            else:
                address = self._allocate(16)
                self._addresses[name] = address
                self._write(address, struct.pack("<Q", address))
        return self._addresses[name]

    # ---- operations

    def _execute(self, operation: Any, short: str, operands: Sequence[bytes]) -> bytes:
        attributes = operation.attributes
        result = type_of(operation.results[0].type) if len(operation.results) else None
        if short == "call":
            return self._call(attributes, operands)
        if short == "store":
            self._write(number_of(operands[1]), operands[0])
            return b""
        if short == "intr.memcpy":
            self._write(
                number_of(operands[0]), self._read(number_of(operands[1]), number_of(operands[2]))
            )
            return b""
        if short == "intr.memset":
            self._write(number_of(operands[0]), operands[1][:1] * number_of(operands[2]))
            return b""
        if result is None:
            raise CandidateError(f"the host code of launch has the operation {operation.name}")
        if short == "alloca":
            element = type_of(attributes["elem_type"].value)
            return pointer(self._allocate(number_of(operands[0]) * element.size, 64))
        if short == "load":
            return self._read(number_of(operands[0]), result.size)
        if short == "mlir.addressof":
            return pointer(self._address_of(attributes["global_name"].value))
        if short == "getelementptr":
            return pointer(element_address(attributes, operands))
        if short in {"extractvalue", "insertvalue"}:
            return aggregate(operation, short, operands, result)
        return computed(operation, short, operands, result)

    def _call(self, attributes: Any, operands: Sequence[bytes]) -> bytes:
        if "callee" not in attributes:
            raise CandidateError("the host code of launch calls through a pointer")
        name = attributes["callee"].value
        if name in self._functions:
            return self.call(name, operands)
        return self._outside(name, operands)

    def _outside(self, name: str, operands: Sequence[bytes]) -> bytes:
        """A function of the runtime."""
        if name == "_cudaLaunchKernelEx":
            self._launch_ex(*map(number_of, operands))
        elif name == "_cudaLaunchKernel":
            kernel, *sizes = map(number_of, operands[:7])
            params, shared = number_of(operands[7]), number_of(operands[8])
            x, y, z, bx, by, bz = sizes
            self._record(HostLaunch(self._kernel(kernel), (x, y, z), (bx, by, bz), shared), params)
        elif name != "printf":
            raise CandidateError(
                f"launch calls {name.lstrip('_')} while it runs, and there is no device here to "
                "ask: give the kernel constants, such as SMS for the number of multiprocessors"
            )
        return bytes(4)

    def _launch_ex(self, config: int, kernel: int, params: int) -> None:
        """A cudaLaunchConfig_t: grid, block, shared memory, stream, attributes and their number."""
        numbers = struct.unpack("<6IQQQI", self._read(config, 52))
        x, y, z, bx, by, bz, shared, _, attributes, count = numbers
        launch = HostLaunch(self._kernel(kernel), (x, y, z), (bx, by, bz), shared)
        for number in range(count):
            kind, *words = struct.unpack("<I4x3I", self._read(attributes + 72 * number, 20))
            if kind == CLUSTER:
                launch.cluster = (words[0], words[1], words[2])
            elif kind == COOPERATIVE:
                launch.cooperative = bool(words[0])
            elif kind == PROGRAMMATIC:
                launch.programmatic = bool(words[0])
            else:
                raise CandidateError(f"a launch has the attribute {kind}, which is not supported")
        self._record(launch, params)

    def _kernel(self, handle: int) -> str:
        for name, address in self._addresses.items():
            if address == handle:
                return name
        raise CandidateError("what launch launches is no kernel of its own")

    def _record(self, launch: HostLaunch, params: int) -> None:
        for number, size in enumerate(self._kernel_params(launch.kernel)):
            (address,) = struct.unpack("<Q", self._read(params + 8 * number, 8))
            launch.params.append(self._read(address, size))
        self.launches.append(launch)
