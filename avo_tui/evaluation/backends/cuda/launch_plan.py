"""A launch as plain numbers: a manifest resolved for one configuration and one device."""

from __future__ import annotations

import math
from typing import Literal

from avo_tui.domain.base import Value
from avo_tui.evaluation.backends.cuda.manifest import DTYPE_BYTES

DEFAULT_SMS = {"sm_80": 108, "sm_90": 132, "sm_100": 148, "sm_103": 148}
SHARED_MEMORY = {
    "sm_75": 65_536, "sm_80": 166_912, "sm_86": 101_376, "sm_87": 166_912, "sm_89": 101_376,
    "sm_90": 232_448, "sm_100": 232_448, "sm_103": 232_448, "sm_110": 232_448, "sm_120": 101_376,
    "sm_121": 101_376,
}  # fmt: skip
"""Most shared memory a block can have, bytes (CUDA programming guide, compute capabilities)."""


class DeviceFacts(Value):
    """What a plan needs to know of a device."""

    architecture: str
    """Such as `sm_90a`."""
    sms: int
    shared_memory: int
    """Most dynamic plus static shared memory of one block, bytes."""

    @classmethod
    def of_architecture(cls, architecture: str) -> DeviceFacts:
        """The facts of the usual device of an architecture, where none is there."""
        base = architecture.rstrip("af")
        return cls(
            architecture=architecture,
            sms=DEFAULT_SMS.get(base, 132),
            shared_memory=SHARED_MEMORY.get(base, 101_376),
        )


class TensorSpec(Value):
    """A tensor that the task hands to the candidate, contiguous in the order of `shape`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    output: bool = False
    weight: bool = False
    """An input that stays the same over many runs: the only kind that `prepare` stages may see."""

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.elements * DTYPE_BYTES[self.dtype]


class PlannedMap(Value):
    """A tensor map ready to encode but for the address. Dimensions innermost first."""

    buffer: str
    offset: int
    """Bytes."""
    dtype: str
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    """Bytes, of every dimension but the innermost."""
    box: tuple[int, ...]
    element_strides: tuple[int, ...]
    swizzle: str
    l2: str
    fill: str


class PlannedAddress(Value):
    """Eight bytes of a parameter that hold an address."""

    at: int
    """Where in the parameter, bytes."""
    buffer: str
    """The tensor's or workspace's name."""
    value: int
    """Bytes from the beginning of the buffer."""


class PlannedParam(Value):
    """A kernel parameter: a number, a buffer or map to take the address or descriptor of, or bytes.

    Bytes are what a language that encodes its parameters by itself gives (a structure, a tensor
    map): they are passed as they are, but for the addresses among them.
    """

    kind: Literal["pointer", "map", "bytes", "i32", "u32", "i64", "u64", "f32", "f64"]
    value: int | float = 0
    """The number; of a pointer, the offset in bytes."""
    buffer: str = ""
    """Of a pointer: the tensor's or workspace's name. Of a map: its name."""
    data: str = ""
    """Of bytes: their hexadecimal digits."""
    addresses: tuple[PlannedAddress, ...] = ()
    """Of bytes: which of them are addresses."""

    @property
    def bytes(self) -> int:
        """Size in the kernel's parameter space."""
        if self.kind == "map":
            return 128
        if self.kind == "bytes":
            return len(self.data) // 2
        return 8 if self.kind == "pointer" else DTYPE_BYTES[self.kind]


class PlannedStage(Value):
    """One launch."""

    entry: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    cluster: tuple[int, int, int] | None
    shared_memory: int
    cooperative: bool
    programmatic: bool
    params: tuple[PlannedParam, ...]
    path: str
    """Where the manifest says it, for errors that only the device can tell."""


class PlannedWorkspace(Value):
    """A workspace of known size."""

    bytes: int
    zero: bool
    persistent: bool = False
    """Written by the prepare stages alone."""


class LaunchPlan(Value):
    """What one run of the candidate on one configuration launches."""

    variant: int | None
    stages: tuple[PlannedStage, ...]
    maps: dict[str, PlannedMap]
    workspaces: dict[str, PlannedWorkspace]
    prepare: tuple[PlannedStage, ...] = ()
    """Launched once for each set of weights, outside the timing."""

    @property
    def launches(self) -> tuple[PlannedStage, ...]:
        """Every launch, prepare stages first."""
        return self.prepare + self.stages
