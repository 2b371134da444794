"""Calls this package's compiled kernel, which the installation built for this processor."""

from __future__ import annotations

import ctypes
import importlib.machinery
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

_SCALARS: dict[str, Any] = {
    "size": ctypes.c_int64, "flag": ctypes.c_bool, "real": ctypes.c_float,
}  # fmt: skip
ALIGNMENT = 64
"""Bytes that every tensor must be aligned to; torch's own allocations are."""


def _library(folder: Path) -> Path:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = folder / f"_kernel{suffix}"
        if path.exists():
            return path
    raise ImportError(
        f"{folder} holds no compiled kernel; install the package first: pip install FOLDER"
    )


class Launcher:
    """Runs the kernel on inputs whose shapes were looked up already."""

    def __init__(self, folder: Path, shapes: Sequence[dict[str, Any]], entry: str) -> None:
        self._shapes = shapes
        self._arguments = shapes[0]["launch"]["arguments"]
        kinds = [a["kind"] for a in self._arguments]
        self._function = ctypes.CDLL(str(_library(folder)))[entry]
        self._function.restype = None
        self._function.argtypes = [_SCALARS.get(k, ctypes.c_void_p) for k in kinds]

    def __call__(self, index: int, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The outputs for shape number `index`."""
        shape = self._shapes[index]
        outputs = tuple(
            torch.empty(tuple(t["shape"]), dtype=getattr(torch, t["dtype"]))
            for t in shape["outputs"]
        )
        names = [t["name"] for t in (*shape["inputs"], *shape["outputs"])]
        tensors = dict(zip(names, (*inputs, *outputs), strict=True))
        values: list[Any] = []
        for argument in self._arguments:
            if argument["kind"] in _SCALARS:
                values.append(shape["parameters"][argument["name"]])
                continue
            address = tensors[argument["name"]].data_ptr()
            if address % ALIGNMENT:
                raise ValueError(
                    f"{argument['name']} must begin at a multiple of {ALIGNMENT} bytes; "
                    "use .clone()"
                )
            values.append(address)
        self._function(*values)
        return outputs
