"""Memory shared with a candidate's process: inputs, which it can only read, and outputs.

Each tensor is placed at the end of its pages, before a guard page of the candidate's process. The
bytes before it, and the few between it and the guard page, contain a pattern that is checked.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.ports import EvaluatorError

if TYPE_CHECKING:
    import torch

PAGE = mmap.PAGESIZE
_ALIGNMENT = 64
_PATTERN = 0xA5


_SEAL_FUTURE_WRITE = 0x10
"""F_SEAL_FUTURE_WRITE of linux/fcntl.h, since Linux 5.1."""


def _seal(file: int, seals: int) -> None:
    try:
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    except OSError as error:
        raise EvaluatorError(
            "this kernel cannot protect inputs from a candidate; Linux 5.1 or later is needed"
        ) from error


@dataclass(frozen=True)
class Place:
    """The position of a tensor in its arena, in bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    """Offset of the tensor's first page in the arena."""
    shift: int
    """Offset of the first element within the tensor's pages."""
    bytes: int

    @property
    def pages_bytes(self) -> int:
        """Bytes of all its pages."""
        return -(-(self.shift + self.bytes) // PAGE) * PAGE

    def argument(self, kind: str) -> str:
        """How a `bind` command says it; `kind` is i or o."""
        return f"{kind}:{self.offset}:{self.bytes}:{self.shift}"


def place(name: str, shape: tuple[int, ...], dtype: str, offset: int) -> Place:
    """Puts a tensor at the pages from `offset` on."""
    count = dtypes.dtype(dtype).bytes
    for size in shape:
        count *= size
    shift = -count % PAGE // _ALIGNMENT * _ALIGNMENT
    return Place(name, shape, dtype, offset, shift, count)


class Arena:
    """A memory file, mapped here; the candidate's process gets a descriptor of it.

    One that is not writable is sealed: nobody can write to it or map it writable any more, however
    it is opened (`/proc/self/fd`, `/proc/self/mem`); only the mapping that is made here can.
    """

    def __init__(self, name: str, size: int, writable: bool) -> None:
        """`writable`: whether the candidate may write; the harness always may."""
        self._file = os.memfd_create(f"avo-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._file, size)
            # Allocate every page now: the first access to a page can take milliseconds, which must
            # not be counted as the candidate's time.
            self._map = mmap.mmap(self._file, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
            seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            # The harness's mapping was made before the seal, so it stays writable.
            seals |= 0 if writable else _SEAL_FUTURE_WRITE
            _seal(self._file, seals)
            access = os.O_RDWR if writable else os.O_RDONLY
            self.descriptor = os.open(f"/proc/self/fd/{self._file}", access)
        except BaseException:
            os.close(self._file)
            raise
        self.size = size

    def close(self) -> None:
        """Gives the memory back once the last tensor that views it is gone."""
        os.close(self.descriptor)
        os.close(self._file)

    def tensor(self, at: Place) -> torch.Tensor:
        """A view of a tensor in the arena."""
        import torch

        kind = dtypes.torch_dtype(at.dtype)
        count = at.bytes // dtypes.dtype(at.dtype).bytes
        flat = torch.frombuffer(self._map, dtype=kind, count=count, offset=at.offset + at.shift)
        return flat.view(at.shape)

    def poison(self, at: Place, salt: int) -> None:
        """Fill a tensor with NaN, and the bytes around it with the pattern."""
        import torch

        pages = torch.frombuffer(
            self._map, dtype=torch.uint8, count=at.pages_bytes, offset=at.offset
        )
        pages[: at.shift].fill_(_PATTERN)
        dtypes.poison(self.tensor(at), salt)
        pages[at.shift + at.bytes :].fill_(_PATTERN)

    def trespass(self, at: Place) -> int | None:
        """Offset, from the tensor's beginning, of the first byte written outside it; None if there
        is none."""
        import torch

        pages = torch.frombuffer(
            self._map, dtype=torch.uint8, count=at.pages_bytes, offset=at.offset
        )
        for begin, end in ((0, at.shift), (at.shift + at.bytes, at.pages_bytes)):
            wrong = (pages[begin:end] != _PATTERN).nonzero()
            if len(wrong):
                return int(wrong[0]) + begin - at.shift
        return None
