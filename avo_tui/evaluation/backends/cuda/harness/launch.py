"""What a run needs of the driver: device memory with guard bands and poison, cubins, launches."""

from __future__ import annotations

import ctypes
import math
import random
import struct
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from cuda.bindings import driver

from avo_tui.evaluation.backends.cuda.launch_plan import (
    LaunchPlan,
    PlannedMap,
    PlannedStage,
    PlannedWorkspace,
    TensorSpec,
)
from avo_tui.evaluation.measurement import dtypes


class DriverError(RuntimeError):
    """A call of the driver failed. `name` is that of the error, `doing` what was being done."""

    def __init__(self, name: str, doing: str, stage: str = "") -> None:
        super().__init__(f"{doing}: {name}")
        self.name = name
        self.doing = doing
        self.stage = stage
        """Path in the manifest of what failed; empty if the manifest is not the cause."""


def check(result: tuple[Any, ...], doing: str, stage: str = "") -> Any:
    """The value of a driver call. Raises DriverError where it failed."""
    code, *values = result
    if code != driver.CUresult.CUDA_SUCCESS:
        raise DriverError(code.name, doing, stage)
    return values[0] if len(values) == 1 else tuple(values)


_SCALARS: dict[str, Any] = {
    "i32": ctypes.c_int32,
    "u32": ctypes.c_uint32,
    "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64,
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
}
_DTYPES = {
    "bf16": "BFLOAT16", "f16": "FLOAT16", "f32": "FLOAT32", "f64": "FLOAT64", "u8": "UINT8",
    "i8": "UINT8", "bool": "UINT8", "f8e4m3": "UINT8", "f8e5m2": "UINT8", "i16": "UINT16",
    "u16": "UINT16", "i32": "INT32", "u32": "UINT32", "i64": "INT64", "u64": "UINT64",
    "c64": "FLOAT64",
}  # fmt: skip
_SWIZZLES = {"none": "NONE", "32B": "32B", "64B": "64B", "128B": "128B"}
_PROMOTIONS = {"none": "NONE", "64B": "L2_64B", "128B": "L2_128B", "256B": "L2_256B"}
_FILLS = {"zero": "NONE", "nan": "NAN_REQUEST_ZERO_FMA"}

PORTABLE_CLUSTER = 8
"""Blocks of a cluster that every device with clusters can have."""


def encode(planned: PlannedMap, address: int, name: str) -> Any:
    """The descriptor of a tensor map whose buffer begins at `address`."""
    rank = len(planned.dims)
    d = driver
    return check(
        d.cuTensorMapEncodeTiled(
            getattr(d.CUtensorMapDataType, f"CU_TENSOR_MAP_DATA_TYPE_{_DTYPES[planned.dtype]}"),
            rank,
            address + planned.offset,
            [d.cuuint64_t(n) for n in planned.dims],
            [d.cuuint64_t(n) for n in planned.strides],
            [d.cuuint32_t(n) for n in planned.box],
            [d.cuuint32_t(n) for n in planned.element_strides],
            d.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
            getattr(d.CUtensorMapSwizzle, f"CU_TENSOR_MAP_SWIZZLE_{_SWIZZLES[planned.swizzle]}"),
            getattr(
                d.CUtensorMapL2promotion, f"CU_TENSOR_MAP_L2_PROMOTION_{_PROMOTIONS[planned.l2]}"
            ),
            getattr(
                d.CUtensorMapFloatOOBfill, f"CU_TENSOR_MAP_FLOAT_OOB_FILL_{_FILLS[planned.fill]}"
            ),
        ),
        f"encoding the tensor map {name!r}",
        f"tensor_maps.{name}",
    )


class Module:
    """A loaded cubin. Loading again resets every `__device__` variable."""

    def __init__(self, code: bytes, symbols: dict[str, str]) -> None:
        self._module = check(driver.cuModuleLoadData(code), "loading the cubin")
        self._symbols = symbols
        self._functions: dict[str, Any] = {}

    def function(self, entry: str) -> Any:
        """The kernel that the manifest names `entry`."""
        if entry not in self._functions:
            symbol = self._symbols.get(entry, entry).encode()
            self._functions[entry] = check(
                driver.cuModuleGetFunction(self._module, symbol), f"finding kernel {entry}"
            )
        return self._functions[entry]

    def unload(self) -> None:
        """Forgets the cubin and all its variables."""
        check(driver.cuModuleUnload(self._module), "unloading the cubin")
        self._functions.clear()


class _Launch:
    """One stage, ready: configuration, arguments and what keeps them alive."""

    def __init__(
        self, stage: PlannedStage, function: Any, maps: dict[str, Any], buffers: Buffers
    ) -> None:
        self.path = stage.path
        self.entry = stage.entry
        self._function = function
        attributes = []
        if stage.cluster is not None:
            attribute = driver.CUlaunchAttribute()
            attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
            cluster = attribute.value.clusterDim
            cluster.x, cluster.y, cluster.z = stage.cluster
            attributes.append(attribute)
        if stage.cooperative:
            attribute = driver.CUlaunchAttribute()
            attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_COOPERATIVE
            attribute.value.cooperative = 1
            attributes.append(attribute)
        if stage.programmatic:
            kind = driver.CUlaunchAttributeID
            attribute = driver.CUlaunchAttribute()
            attribute.id = kind.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
            attribute.value.programmaticStreamSerializationAllowed = 1
            attributes.append(attribute)
        config = driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = stage.grid
        config.blockDimX, config.blockDimY, config.blockDimZ = stage.block
        config.sharedMemBytes = stage.shared_memory
        config.hStream = 0
        config.attrs = attributes
        config.numAttrs = len(attributes)
        self._config = config
        self._keep: list[Any] = []
        pointers = (ctypes.c_void_p * max(1, len(stage.params)))()
        for index, param in enumerate(stage.params):
            if param.kind == "map":
                pointers[index] = int(maps[param.buffer].getPtr())
                continue
            if param.kind == "bytes":
                value: Any = ctypes.create_string_buffer(bytes.fromhex(param.data), param.bytes)
                for address in param.addresses:
                    target = buffers.address(address.buffer) + address.value
                    struct.pack_into("<Q", value, address.at, target)
            elif param.kind == "pointer":
                value = ctypes.c_uint64(buffers.address(param.buffer) + int(param.value))
            else:
                value = _SCALARS[param.kind](param.value)
            self._keep.append(value)
            pointers[index] = ctypes.addressof(value)
        self._keep.append((pointers, maps))
        self._arguments = ctypes.addressof(pointers)

    def __call__(self) -> None:
        """Puts the launch on the default stream."""
        check(
            driver.cuLaunchKernelEx(self._config, self._function, self._arguments, 0),
            f"launching {self.entry}",
            self.path,
        )


def prepare(function: Any, stages: Sequence[PlannedStage]) -> None:
    """Allows a kernel what any of its launches asks for: the setting belongs to the kernel."""
    kinds = driver.CUfunction_attribute
    largest = max(stages, key=lambda s: s.shared_memory)
    widest = max(stages, key=lambda s: math.prod(s.cluster or (1,)))
    wanted = []
    if largest.shared_memory:  # also below 48 KiB: static shared memory counts towards that limit
        kind = kinds.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        wanted.append((kind, largest.shared_memory, largest))
    if math.prod(widest.cluster or (1,)) > PORTABLE_CLUSTER:
        kind = kinds.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
        wanted.append((kind, 1, widest))
    for kind, value, stage in wanted:
        check(
            driver.cuFuncSetAttribute(function, kind, value),
            f"preparing kernel {stage.entry}",
            stage.path,
        )


class Runner:
    """A plan bound to a module and to buffers: calling it puts one run on the default stream."""

    def __init__(self, plan: LaunchPlan, module: Module, buffers: Buffers) -> None:
        maps = _encoded(plan, buffers)
        self._zero = [
            (buffers.address(name), workspace.bytes)
            for name, workspace in plan.workspaces.items()
            if workspace.zero
        ]
        self._launches = _launches(plan.stages, module, maps, buffers)

    def __call__(self) -> None:
        for address, size in self._zero:
            check(driver.cuMemsetD8Async(address, 0, size, 0), "zeroing a workspace")
        for launch in self._launches:
            launch()


class Preparer:
    """The prepare stages of a plan: they turn weights into persistent workspaces, untimed.

    They run from a copy of the cubin of their own, so that no `__device__` variable carries
    anything to the timed stages, or to the next set of weights. While they run, only the weights
    are real: all other inputs, outputs and workspaces hold poison.
    """

    def __init__(self, plan: LaunchPlan, module: Module, buffers: Buffers) -> None:
        """`module` is loaded for this alone; who loaded it gives it back."""
        self._buffers = buffers
        self._launches = _launches(plan.prepare, module, _encoded(plan, buffers), buffers)
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def __call__(
        self, fill: Callable[[dict[str, torch.Tensor]], None], junk: int | None = None
    ) -> None:
        """Queues `fill`, poison for all but the weights, the prepare stages, and `fill` again.

        `fill` writes all inputs, the same at each call: what a prepare stage did to its weights is
        undone. `junk` is the byte that workspaces hold instead of NaN.
        """
        fill(self._buffers.inputs)
        if self._launches:
            self._buffers.poison_all_but_weights(junk)
            self._events[0].record()
            for launch in self._launches:
                launch()
            self._events[1].record()
            fill(self._buffers.inputs)
            self._buffers.keep_persistent()
        self._buffers.poison(junk)

    @property
    def milliseconds(self) -> float:
        """What the prepare stages took the last time; 0 where there are none. Waits for them."""
        if not self._launches:
            return 0.0
        self._events[1].synchronize()
        return float(self._events[0].elapsed_time(self._events[1]))


def _encoded(plan: LaunchPlan, buffers: Buffers) -> dict[str, Any]:
    return {
        name: encode(planned, buffers.address(planned.buffer), name)
        for name, planned in plan.maps.items()
    }


def _launches(
    stages: Sequence[PlannedStage], module: Module, maps: dict[str, Any], buffers: Buffers
) -> list[_Launch]:
    for entry in dict.fromkeys(stage.entry for stage in stages):
        prepare(module.function(entry), [s for s in stages if s.entry == entry])
    return [_Launch(stage, module.function(stage.entry), maps, buffers) for stage in stages]


def synchronize(doing: str) -> None:
    """Waits for the GPU. Raises DriverError with what the candidate's kernels ended in."""
    check(driver.cuCtxSynchronize(), doing)


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
