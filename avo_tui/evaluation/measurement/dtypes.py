"""Element types of inputs and outputs: torch's name, the manifest's short name, size and kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Kind = Literal["float", "complex", "int", "bool"]


@dataclass(frozen=True)
class Dtype:
    """One element type."""

    name: str
    """As torch names it."""
    short: str
    """As launch manifests name it."""
    bytes: int
    """Size of one element."""
    kind: Kind

    @property
    def exact(self) -> bool:
        """True where outputs are compared for equality: integers and booleans."""
        return self.kind in {"int", "bool"}


_ALL = (
    Dtype("float64", "f64", 8, "float"),
    Dtype("float32", "f32", 4, "float"),
    Dtype("float16", "f16", 2, "float"),
    Dtype("bfloat16", "bf16", 2, "float"),
    Dtype("float8_e4m3fn", "f8e4m3", 1, "float"),
    Dtype("float8_e5m2", "f8e5m2", 1, "float"),
    Dtype("complex64", "c64", 8, "complex"),
    Dtype("complex128", "c128", 16, "complex"),
    Dtype("int8", "i8", 1, "int"),
    Dtype("int16", "i16", 2, "int"),
    Dtype("int32", "i32", 4, "int"),
    Dtype("int64", "i64", 8, "int"),
    Dtype("uint8", "u8", 1, "int"),
    Dtype("uint16", "u16", 2, "int"),
    Dtype("uint32", "u32", 4, "int"),
    Dtype("uint64", "u64", 8, "int"),
    Dtype("bool", "bool", 1, "bool"),
)
DTYPES = {d.name: d for d in _ALL} | {d.short: d for d in _ALL}
"""By torch's name and by the short one."""
SHORT_NAMES = tuple(d.short for d in _ALL)

_FRACTION_BITS = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}
"""Bits of the fraction, behind the sign and the exponent. A complex number is two such numbers."""
_PARTS = {"complex128": "float64", "complex64": "float32"}
_NAN_BYTE = 0x7F
"""NaN in both 8-bit formats, with either sign; one of them has no other."""
_JUNK_BYTE = 0xA5
_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that a multiple of it differs in every byte from the next one."""


def dtype(name: str) -> Dtype:
    """The type of that name, torch's or short. Raises ValueError that says which there are."""
    try:
        return DTYPES[name.removeprefix("torch.")]
    except KeyError:
        known = ", ".join(d.name for d in _ALL)
        raise ValueError(f"there is no dtype {name!r}; there are: {known}") from None


def of(tensor: torch.Tensor) -> Dtype:
    """The type of a tensor's elements. Raises ValueError for one that is not known."""
    return dtype(str(tensor.dtype))


def torch_dtype(name: str) -> torch.dtype:
    """torch's object for a name, torch's own or the short one."""
    import torch

    kind = getattr(torch, dtype(name).name)
    assert isinstance(kind, torch.dtype)
    return kind


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bits as integers of the same shape, so that NaN equals itself.

    A complex tensor gets a last dimension of two.
    """
    import torch

    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.contiguous().view(kinds[tensor.element_size()])


def copy(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous copy of every bit. torch's own copy makes 1 of any other byte in a boolean, so
    that one that was never written would pass for True."""
    import torch

    if tensor.dtype != torch.bool:
        return tensor.clone()
    return tensor.view(torch.uint8).clone().view(torch.bool)


def poison(tensor: torch.Tensor, salt: int = 0) -> None:
    """Fills a contiguous tensor with what no correct kernel leaves in it.

    Floating-point numbers become NaN. `salt` (0 to 255) changes the pattern of every type, so that
    elements that were never written differ between two runs, and a candidate cannot learn how
    memory looks that is going to be looked at.
    """
    import torch

    kind = of(tensor)
    flat = tensor.view(-1)
    if kind.exact:
        flat.view(torch.uint8).fill_(_junk(kind, salt))
    elif kind.bytes == 1:
        flat.view(torch.uint8).fill_(_NAN_BYTE | (salt & 1) << 7)
    else:
        part = dtype(_PARTS.get(kind.name, kind.name))
        kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
        flat.view(kinds[part.bytes]).fill_(_nan(part, salt))


def unwritten(tensor: torch.Tensor, salt: int = 0) -> torch.Tensor:
    """Where a tensor still holds what `poison` put there; a boolean mask of its shape."""
    import torch

    sample = torch.empty(1, dtype=tensor.dtype, device=tensor.device)
    poison(sample, salt)
    same = bits(tensor) == bits(sample)[0]
    return same.all(dim=-1) if tensor.is_complex() else same


def _junk(kind: Dtype, salt: int) -> int:
    byte = (_JUNK_BYTE ^ salt) & 0xFF
    return byte | 0x80 if kind.kind == "bool" else byte


def _nan(kind: Dtype, salt: int) -> int:
    """The bits of a quiet NaN, as a signed integer.

    Its payload is neither 0 nor all ones: those are the NaNs that arithmetic gives on x86, ARM and
    NVIDIA's GPUs.
    """
    size, fraction = 8 * kind.bytes, _FRACTION_BITS[kind.name]
    payload = 1 + (salt // 2 * _SPREAD) % ((1 << (fraction - 1)) - 2)
    exponent = (1 << (size - 1)) - (1 << fraction)
    pattern = exponent | 1 << (fraction - 1) | payload
    return pattern - ((salt & 1) << (size - 1))
