"""Device memory given to a candidate: new addresses, guard bands and poison values."""

from __future__ import annotations

import random
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import torch
from cuda.bindings import driver

from avo_tui.evaluation.backends.cuda.harness.errors import check
from avo_tui.evaluation.backends.cuda.launch_plan import PlannedWorkspace, TensorSpec
from avo_tui.evaluation.measurement import dtypes

GUARD_BYTES = 1 << 20
"""Bytes of the guard bands before and after every buffer."""
GUARD_PATTERN = 0x7FFF
"""Poison value of 16 bits: NaN in bf16 and f16, and NaN in f32 if repeated."""
ALIGNMENT = 1024


class _Exposed:
    """Wraps raw device memory for torch through the array interface; does not own the memory."""

    def __init__(self, pointer: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (pointer, False),
            "version": 2,
        }


class Buffer:
    """`size` bytes of device memory between two guard bands, at an address that varies."""

    def __init__(self, size: int, shift: int, *, bare: bool = False) -> None:
        """`shift`, a multiple of 1024 bytes, is added before the guard band to vary the address.

        `bare` omits the guard bands, so that a tool can detect accesses beyond the memory.
        """
        self.size = size
        self._guards: list[tuple[torch.Tensor, str]] = []
        padded = (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        total = size if bare else shift + padded + 2 * GUARD_BYTES
        self._base = int(check(driver.cuMemAlloc(total), "allocating memory"))
        self.address = self._base if bare else self._base + shift + GUARD_BYTES
        self.bytes: torch.Tensor = torch.as_tensor(_Exposed(self.address, size), device="cuda")
        if bare:
            return
        before = _Exposed(self.address - GUARD_BYTES, GUARD_BYTES)
        # The band after begins right behind the last byte; on an even address, to hold 16 bits.
        end = self.address + size + size % 2
        after = _Exposed(end, self._base + total - end)
        self._guards = [
            (torch.as_tensor(before, device="cuda").view(torch.int16), "before"),
            (torch.as_tensor(after, device="cuda").view(torch.int16), "after"),
        ]
        for guard, _ in self._guards:
            guard.fill_(GUARD_PATTERN)

    def view(self, spec: TensorSpec) -> torch.Tensor:
        """The buffer as a tensor of the task."""
        return self.bytes.view(dtypes.torch_dtype(spec.dtype)).view(spec.shape)

    def guard_damage(self) -> str:
        """Which guard band was written to; empty where none was."""
        for guard, side in self._guards:
            hit = (guard != GUARD_PATTERN).nonzero()
            if len(hit):
                where = int(hit[0]) if side == "after" else len(guard) - int(hit[-1])
                return f"{2 * len(hit)} bytes {side} it, the nearest {2 * where} bytes away"
        return ""

    def free(self) -> None:
        """Gives the memory back."""
        if self._base:
            check(driver.cuMemFree(self._base), "freeing memory")
            self._base = 0


class Buffers:
    """All that one run of a candidate sees: the task's tensors and the plan's workspaces."""

    def __init__(
        self,
        specs: Iterable[TensorSpec],
        workspaces: dict[str, PlannedWorkspace],
        seed: int,
        *,
        bare: bool = False,
    ) -> None:
        """`bare` leaves out guard bands and poison, for a tool that watches the memory itself."""
        self._random = random.Random(seed)  # noqa: S311 - not a secret
        self._bare = bare
        self.specs = {spec.name: spec for spec in specs}
        self.workspaces = dict(workspaces)
        self._prepared: dict[str, torch.Tensor] = {}
        sizes = {name: spec.bytes for name, spec in self.specs.items()}
        sizes |= {name: workspace.bytes for name, workspace in self.workspaces.items()}
        names = list(sizes)
        self._random.shuffle(names)
        self._all: dict[str, Buffer] = {}
        try:
            for name in names:
                shift = ALIGNMENT * self._random.randrange(0, 512)
                self._all[name] = Buffer(sizes[name], shift, bare=bare)
        except BaseException:
            self.free()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.free()

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """The task's inputs."""
        return {n: self._all[n].view(s) for n, s in self.specs.items() if not s.output}

    @property
    def outputs(self) -> dict[str, torch.Tensor]:
        """The task's outputs."""
        return {n: self._all[n].view(s) for n, s in self.specs.items() if s.output}

    def address(self, name: str) -> int:
        """Where a tensor or workspace begins."""
        return self._all[name].address

    def poison(self, junk: int | None = None) -> None:
        """Fills outputs with NaN and workspaces with NaN, or with bytes of value `junk`.

        What the prepare stages filled stays as it is.
        """
        if self._bare:
            return
        for tensor in self.outputs.values():
            dtypes.poison(tensor)
        for name in self.workspaces:
            if name not in self._prepared:
                self._all[name].bytes.fill_(0xFF if junk is None else junk)

    def poison_all_but_weights(self, junk: int | None = None) -> None:
        """Before prepare stages: persistent workspaces and inputs that vary hold poison too."""
        self._prepared.clear()
        self.poison(junk)
        for name, spec in self.specs.items():
            if not spec.output and not spec.weight:
                self._all[name].bytes.fill_(0xFF)

    def keep_persistent(self) -> None:
        """Remember what the prepare stages wrote, to detect later whether a run changed it."""
        self._prepared = {
            name: self._all[name].bytes if self._bare else self._all[name].bytes.clone()
            for name, workspace in self.workspaces.items()
            if workspace.persistent
        }

    def changed_persistent(self) -> list[str]:
        """Persistent workspaces that are not as the prepare stages left them."""
        return [
            name
            for name, before in self._prepared.items()
            if not torch.equal(before, self._all[name].bytes)
        ]

    def damage(self) -> str:
        """The first buffer with a damaged guard band, as text; empty if all are intact."""
        for name, buffer in self._all.items():
            if trouble := buffer.guard_damage():
                kind = "workspace" if name in self.workspaces else "tensor"
                return f"{kind} {name!r}: {trouble}"
        return ""

    def free(self) -> None:
        """Gives all memory back."""
        for buffer in self._all.values():
            buffer.free()
        self._all.clear()
