"""Files of numbers as tensors: .npy, .npz, .safetensors, and text such as .csv.

numpy is not installed with avo-tui, and reading what it writes takes a header.
"""

from __future__ import annotations

import ast
import io
import json
import math
import struct
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_TYPES = {
    "f8": "float64", "f4": "float32", "f2": "float16", "i8": "int64", "i4": "int32",
    "i2": "int16", "i1": "int8", "u1": "uint8", "b1": "bool", "F64": "float64", "F32": "float32",
    "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16",
    "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""Name of an element type in either format → torch's."""
_MAGIC = b"\x93NUMPY"


def tensors(name: str, data: bytes) -> dict[str, torch.Tensor]:
    """Everything in a file, by name. Raises ValueError with a sentence."""
    import torch

    try:
        if name.endswith(".npy"):
            return {name: _npy(data)}
        if name.endswith(".npz"):
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                return {n.removesuffix(".npy"): _npy(file.read(n)) for n in file.namelist()}
        if name.endswith(".safetensors"):
            return _safetensors(data)
        cells = data.decode().replace(",", " ").replace(";", " ").split()
        return {name: torch.tensor([float(cell) for cell in cells], dtype=torch.float64)}
    except (ValueError, LookupError, SyntaxError, struct.error, zipfile.BadZipFile) as error:
        raise ValueError(f"no numbers can be read from it: {error}") from error


def _npy(data: bytes) -> torch.Tensor:
    """https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html"""
    if not data.startswith(_MAGIC):
        raise ValueError("it is no .npy file")
    wide = data[6] >= 2
    start = 12 if wide else 10
    (length,) = struct.unpack_from("<I" if wide else "<H", data, 8)
    header = ast.literal_eval(data[start : start + length].decode("latin-1"))
    kind = str(header["descr"])
    if kind[0] == ">" or kind[1:] not in _TYPES:
        raise ValueError(f"its element type {kind} is not known")
    shape = tuple(int(n) for n in header["shape"])
    flat = _flat(
        data[start + length :], kind[1:], shape[::-1] if header["fortran_order"] else shape
    )
    return flat.permute(*reversed(range(flat.dim()))) if header["fortran_order"] else flat


def _safetensors(data: bytes) -> dict[str, torch.Tensor]:
    (length,) = struct.unpack_from("<Q", data)
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    return {
        name: _flat(body[slice(*facts["data_offsets"])], facts["dtype"], tuple(facts["shape"]))
        for name, facts in header.items()
        if name != "__metadata__"
    }


def _flat(raw: bytes, kind: str, shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    dtype: torch.dtype = getattr(torch, _TYPES[kind])
    count = math.prod(shape)
    if len(raw) < count * dtype.itemsize:
        raise ValueError("it is cut short")
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(raw), dtype=dtype, count=count).reshape(shape)
