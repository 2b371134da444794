"""What single operations of MLIR's LLVM dialect compute. A value is the bytes it has in memory.

Loaded in the sandbox by `recorder.py`, as a file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from avo_tui_gpu_python.cute.host_types import CandidateError, Type, type_of

DYNAMIC = -(1 << 31)
"""Stands in a list of constant indices for one that is an operand."""


def signed(value: int, bits: int) -> int:
    """The number that `value` is in two's complement."""
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _quotient(a: int, b: int) -> int:
    """Towards zero, as processors divide."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_UNSIGNED: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "udiv": lambda a, b: a // b,
    "urem": lambda a, b: a % b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b if b < 128 else 0,
    "lshr": lambda a, b: a >> b,
    "intr.umin": min,
    "intr.umax": max,
}
_SIGNED: dict[str, Callable[[int, int], int]] = {
    "sdiv": _quotient,
    "srem": lambda a, b: a - b * _quotient(a, b),
    "ashr": lambda a, b: a >> b,
    "intr.smin": min,
    "intr.smax": max,
}
_FLOAT: dict[str, Callable[[float, float], float]] = {
    "fadd": lambda a, b: a + b,
    "fsub": lambda a, b: a - b,
    "fmul": lambda a, b: a * b,
    "fdiv": lambda a, b: a / b,
}
_COMPARED: tuple[Callable[[int, int], bool], ...] = (
    lambda a, b: a == b,
    lambda a, b: a != b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
)
_SAME = {"ptrtoint", "inttoptr", "bitcast", "addrspacecast", "freeze", "zext", "trunc"}


def as_bytes(value: Any, kind: Type) -> bytes:
    """A number, or an address for a tensor whose layout is known, as a function takes it."""
    if kind.kind == "float":
        return _packed(float(value), kind)
    if kind.size > 8:
        raise CandidateError("an argument of launch has parts that are not known when it compiles")
    return int(value).to_bytes(kind.size, "little", signed=int(value) < 0)


def number_of(data: bytes) -> int:
    """Of a value, as unsigned."""
    return int.from_bytes(data, "little")


def pointer(address: int) -> bytes:
    """The value that holds an address."""
    return address.to_bytes(8, "little")


def element_address(attributes: Any, operands: Sequence[bytes]) -> int:
    """The address that `getelementptr` computes."""
    current = type_of(attributes["elem_type"].value)
    address = number_of(operands[0])
    dynamic = iter(operands[1:])
    for depth, constant in enumerate(attributes["rawConstantIndices"]):
        index = constant
        if constant == DYNAMIC:
            data = next(dynamic)
            index = signed(number_of(data), 8 * len(data))
        if depth == 0:
            address += index * current.size
        else:
            offset, current = current.member(index)
            address += offset
    return address & (1 << 64) - 1


def aggregate(operation: Any, short: str, operands: Sequence[bytes], result: Type) -> bytes:
    """Takes a member out of a structure or array, or puts one in."""
    holder = type_of(operation.operands[0].type)
    start, current = 0, holder
    for index in operation.attributes["position"]:
        offset, current = current.member(index)
        start += offset
    if short == "extractvalue":
        return operands[0][start : start + result.size]
    whole = bytearray(operands[0])
    whole[start : start + current.size] = operands[1]
    return bytes(whole)


def computed(operation: Any, short: str, operands: Sequence[bytes], result: Type) -> bytes:
    """A value that depends on the operands alone."""
    attributes = operation.attributes
    if short == "mlir.constant":
        return _constant(attributes["value"], result)
    if short in {"mlir.zero", "mlir.undef", "mlir.poison"}:
        return bytes(result.size)
    if short == "select":
        return operands[1] if operands[0][0] & 1 else operands[2]
    if short == "icmp":
        bits = 8 * len(operands[0])
        a, b = map(number_of, operands)
        predicate = int(attributes["predicate"].value)
        if predicate >= 6:  # unsigned; below it are eq, ne and the signed ones
            return bytes([_COMPARED[predicate - 4](a, b)])
        if predicate >= 2:
            a, b = signed(a, bits), signed(b, bits)
        return bytes([_COMPARED[predicate](a, b)])
    numbers = [number_of(o) for o in operands]
    if short in _SAME:
        return _bits(numbers[0], result)
    if short == "sext":
        source = type_of(operation.operands[0].type)
        return _bits(signed(numbers[0], source.bits), result)
    if short in _UNSIGNED:
        _no_division_by_zero(short, numbers[1])
        return _bits(_UNSIGNED[short](numbers[0], numbers[1]), result)
    if short in _SIGNED:
        _no_division_by_zero(short, numbers[1])
        a, b = (signed(n, result.bits) for n in numbers)
        return _bits(_SIGNED[short](a, b), result)
    return _float_computed(operation, short, operands, result)


def _no_division_by_zero(short: str, divisor: int) -> None:
    if divisor == 0 and short in {"udiv", "urem", "sdiv", "srem"}:
        raise CandidateError("launch divides by zero")


def _float_computed(operation: Any, short: str, operands: Sequence[bytes], result: Type) -> bytes:
    source = type_of(operation.operands[0].type) if operands else result
    if short in _FLOAT:
        a, b = (_real(o) for o in operands)
        if short == "fdiv" and b == 0:
            raise CandidateError("launch divides by zero")
        return _packed(_FLOAT[short](a, b), result)
    if short == "sitofp":
        return _packed(float(signed(number_of(operands[0]), source.bits)), result)
    if short == "uitofp":
        return _packed(float(number_of(operands[0])), result)
    if short in {"fptosi", "fptoui"}:
        return _bits(int(_real(operands[0])), result)
    if short in {"fpext", "fptrunc"}:
        return _packed(_real(operands[0]), result)
    raise CandidateError(
        f"the host code of launch has the operation {operation.name}, which cannot be recorded; "
        "compute it in Python (with cutlass.const_expr) or in the kernel"
    )


def _bits(value: int, result: Type) -> bytes:
    return (value & (1 << result.bits) - 1).to_bytes(result.size, "little")


def _real(data: bytes) -> float:
    if len(data) not in (4, 8):
        raise CandidateError("launch computes with 16-bit numbers; only kernels can")
    return float(struct.unpack("<f" if len(data) == 4 else "<d", data)[0])


def _packed(value: float, result: Type) -> bytes:
    if result.size not in (4, 8):
        raise CandidateError("launch computes with 16-bit numbers; only kernels can")
    return struct.pack("<f" if result.size == 4 else "<d", value)


def _constant(attribute: Any, result: Type) -> bytes:
    if hasattr(attribute, "value_bytes"):
        return bytes(attribute.value_bytes).ljust(result.size, b"\0")[: result.size]
    if result.kind == "float":
        return _packed(float(attribute.value), result)
    if result.kind == "int":
        return _bits(int(attribute.value), result)
    raise CandidateError("the host code of launch has a constant that cannot be recorded")
