"""Launches this package's cubins: one prepared launch for each device, shape and setting.

What a kernel is given stands in `launches.json`: grid, block, cluster, shared memory, parameters,
tensor maps, workspaces. For the shapes of the export it stands there as numbers, for others of the
kernel's domain as expressions in the sizes, which are worked out at the first call of a shape.
Nothing is compiled, and nothing is copied between host and device.
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from cuda.bindings import driver

ALIGNMENT = 256
"""Bytes that every tensor must be aligned to; torch's own allocations are."""
MAPS_KEPT = 64
"""Descriptors that are remembered for one tensor map, by address."""
PORTABLE_CLUSTER = 8
KEPT_BYTES = 1 << 20
"""Largest sum of workspaces that are kept between calls instead of allocated in each."""
_DEFAULT_STREAM = 0
SHAPES_KEPT = 256
"""Shapes whose launches are kept ready on one device."""
_GRID = (2**31 - 1, 65_535, 65_535)
_RANGES = {
    "i32": (-(2**31), 2**31 - 1), "u32": (0, 2**32 - 1), "i64": (-(2**63), 2**63 - 1),
    "u64": (0, 2**64 - 1),
}  # fmt: skip
_FUNCTIONS = {"__builtins__": {}, "min": min, "max": max, "ceil_div": lambda a, b: -(-a // b)}

_Plan = dict[str, Any]
"""A part of `launches.json`."""
_Slots = dict[str, int]
"""Buffers' places among the addresses that launches are given."""

_SCALARS: dict[str, Any] = {
    "i32": ctypes.c_int32, "u32": ctypes.c_uint32, "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64, "f32": ctypes.c_float, "f64": ctypes.c_double,
}  # fmt: skip
_MAP_DTYPES = {
    "bf16": "BFLOAT16", "f16": "FLOAT16", "f32": "FLOAT32", "f64": "FLOAT64", "c64": "FLOAT64",
    **dict.fromkeys(("u8", "i8", "bool", "f8e4m3", "f8e5m2"), "UINT8"), "i16": "UINT16",
    "u16": "UINT16", "i32": "INT32", "u32": "UINT32", "i64": "INT64", "u64": "UINT64",
}  # fmt: skip
_PROMOTIONS = {"none": "NONE", "64B": "L2_64B", "128B": "L2_128B", "256B": "L2_256B"}
_FILLS = {"zero": "NONE", "nan": "NAN_REQUEST_ZERO_FMA"}


def _check(result: tuple[Any, ...], doing: str) -> Any:
    code, *values = result
    if int(code) != 0:
        raise RuntimeError(f"{doing}: {code.name}")
    return values[0] if len(values) == 1 else None


def _enumerator(kind: str, name: str) -> Any:
    return getattr(getattr(driver, f"CUtensorMap{kind}"), f"CU_TENSOR_MAP_{name}")


class _Map:
    """One tensor map: its descriptor, encoded anew for an address that was not seen lately."""

    def __init__(self, plan: _Plan, slots: _Slots) -> None:
        self.slot = slots[plan["buffer"]]
        """Place of its buffer among the addresses."""
        self._offset = int(plan["offset"])
        data_type = _enumerator("DataType", f"DATA_TYPE_{_MAP_DTYPES[plan['dtype']]}")
        self._before = data_type, len(plan["dims"])
        self._after = (
            [driver.cuuint64_t(n) for n in plan["dims"]],
            [driver.cuuint64_t(n) for n in plan["strides"]],
            [driver.cuuint32_t(n) for n in plan["box"]],
            [driver.cuuint32_t(n) for n in plan["element_strides"]],
            _enumerator("Interleave", "INTERLEAVE_NONE"),
            _enumerator("Swizzle", f"SWIZZLE_{plan['swizzle'].upper()}"),
            _enumerator("L2promotion", f"L2_PROMOTION_{_PROMOTIONS[plan['l2']]}"),
            _enumerator("FloatOOBfill", f"FLOAT_OOB_FILL_{_FILLS[plan['fill']]}"),
        )
        self._kept: OrderedDict[int, tuple[int, Any]] = OrderedDict()

    def at(self, address: int) -> int:
        """Where the descriptor for a buffer at `address` lies in host memory."""
        known = self._kept.get(address)
        if known is None:
            encode = driver.cuTensorMapEncodeTiled
            where = address + self._offset
            encoded = _check(encode(*self._before, where, *self._after), "encoding a tensor map")
            known = self._kept[address] = int(encoded.getPtr()), encoded
            if len(self._kept) > MAPS_KEPT:
                self._kept.popitem(last=False)
        return known[0]


class _Stage:
    """One launch: everything but addresses and stream is ready."""

    def __init__(self, plan: _Plan, function: Any, maps: dict[str, _Map], slots: _Slots) -> None:
        self._function = function
        self._entry = plan["entry"]
        config = driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = plan["grid"]
        config.blockDimX, config.blockDimY, config.blockDimZ = plan["block"]
        config.sharedMemBytes = plan["shared_memory"]
        config.attrs = attributes = _attributes(plan)
        config.numAttrs = len(attributes)
        self._config, self._attributes = config, attributes
        self._stream = -1
        params = plan["params"]
        self._pointers = (ctypes.c_void_p * max(1, len(params)))()
        self._arguments = ctypes.addressof(self._pointers)
        self._values: list[Any] = []
        self._addresses: list[tuple[Any, int, int]] = []
        self._maps: list[tuple[int, _Map]] = []
        for index, param in enumerate(params):
            if param["kind"] == "map":
                self._maps.append((index, maps[param["buffer"]]))
                continue
            if param["kind"] == "bytes":
                value: Any = (ctypes.c_ubyte * (len(param["data"]) // 2))()
                ctypes.memmove(value, bytes.fromhex(param["data"]), len(value))
                for a in param["addresses"]:
                    part = ctypes.c_uint64.from_buffer(value, a["at"])
                    self._addresses.append((part, slots[a["buffer"]], int(a["value"])))
            elif param["kind"] == "pointer":
                value = ctypes.c_uint64(0)
                self._addresses.append((value, slots[param["buffer"]], int(param["value"])))
            else:
                value = _SCALARS[param["kind"]](param["value"])
            self._values.append(value)
            self._pointers[index] = ctypes.addressof(value)

    def __call__(self, addresses: Sequence[int], stream: int) -> None:
        for value, slot, offset in self._addresses:
            value.value = addresses[slot] + offset
        for index, tensor_map in self._maps:
            self._pointers[index] = tensor_map.at(addresses[tensor_map.slot])
        if stream != self._stream:
            self._config.hStream = stream
            self._stream = stream
        (code,) = _launch(self._config, self._function, self._arguments, 0)
        if code:
            raise RuntimeError(f"launching {self._entry}: {code.name}")


_launch = driver.cuLaunchKernelEx
_set_bytes = driver.cuMemsetD8Async
_stream_of: Callable[[int], int] = getattr(torch._C, "_cuda_getCurrentRawStream", None) or (
    lambda device: int(torch.cuda.current_stream(device).cuda_stream)
)
"""Handle of the current stream of a device. torch makes an object of three microseconds of it
where it is asked in public; its own compiled code asks as it is done here."""


def _attributes(plan: dict[str, Any]) -> list[Any]:
    kinds = driver.CUlaunchAttributeID
    attributes: list[Any] = []

    def add(kind: Any) -> Any:
        attribute = driver.CUlaunchAttribute()
        attribute.id = kind
        attributes.append(attribute)
        return attribute

    if plan["cluster"] is not None:
        cluster = add(kinds.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION).value.clusterDim
        cluster.x, cluster.y, cluster.z = plan["cluster"]
    if plan["cooperative"]:
        add(kinds.CU_LAUNCH_ATTRIBUTE_COOPERATIVE).value.cooperative = 1
    if plan["programmatic"]:
        kind = kinds.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
        add(kind).value.programmaticStreamSerializationAllowed = 1
    return attributes


class _Cubin:
    """A cubin that is loaded on one device; kept for as long as the process lives."""

    def __init__(self, code: bytes, symbols: dict[str, str]) -> None:
        self._module = _check(driver.cuModuleLoadData(code), "loading a cubin of this package")
        self._symbols = symbols
        self._shared: dict[str, int] = {}

    def function(self, entry: str, stages: Sequence[dict[str, Any]]) -> Any:
        """A kernel, allowed what any of its launches so far asks for."""
        symbol = self._symbols.get(entry, entry).encode()
        function = _check(
            driver.cuModuleGetFunction(self._module, symbol), f"finding the kernel {entry}"
        )
        kinds = driver.CUfunction_attribute
        own = [stage for stage in stages if stage["entry"] == entry]
        shared = max(stage["shared_memory"] for stage in own)
        if shared > self._shared.get(entry, 0):
            self._shared[entry] = shared
            kind = kinds.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            _check(driver.cuFuncSetAttribute(function, kind, shared), f"preparing {entry}")
        if max(math.prod(stage["cluster"] or (1,)) for stage in own) > PORTABLE_CLUSTER:
            kind = kinds.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
            _check(driver.cuFuncSetAttribute(function, kind, 1), f"preparing {entry}")
        return function


class Weights:
    """Which tensors, in which state, the prepare stages last ran for."""

    def __init__(self, numbers: Iterable[int]) -> None:
        """`numbers` are the places of the weights among the inputs."""
        self._numbers = tuple(numbers)
        self._last: list[tuple[weakref.ref[torch.Tensor], int]] | None = None

    def remember(self, inputs: Sequence[torch.Tensor]) -> None:
        """Takes these for what was prepared, unless they do not count their changes."""
        weights = [inputs[number] for number in self._numbers]
        if any(t.is_inference() for t in weights):
            self._last = None
        else:
            self._last = [(weakref.ref(t), t._version) for t in weights]

    def same(self, inputs: Sequence[torch.Tensor]) -> bool:
        """Whether these are the same tensors, and unchanged. Their addresses tell neither."""
        if self._last is None:
            return False
        return all(
            ref() is inputs[number] and version == inputs[number]._version
            for number, (ref, version) in zip(self._numbers, self._last, strict=True)
        )


class _Workspaces:
    """Memory that launches write and read besides inputs and outputs, as the kernel expects it.

    The allocator takes some microseconds a call, and so does torch for filling with zeros. On the
    default stream, whose launches come one after another, small workspaces are therefore kept. Not
    on others: a stream may end before its launches have, and a captured graph may run beside it.
    """

    def __init__(self, plan: dict[str, Any], device: torch.device) -> None:
        own = {n: w for n, w in plan["workspaces"].items() if not w["persistent"]}
        self.names = tuple(own)
        self._device, self._kept = device, list[torch.Tensor]()
        self._sizes = tuple((int(w["bytes"]), bool(w["zero"])) for w in own.values())
        self._keeps = sum(size for size, _ in self._sizes) <= KEPT_BYTES
        self._cleared: tuple[tuple[int, int], ...] = ()

    def addresses(self, stream: int) -> tuple[list[int], list[torch.Tensor]]:
        """(their addresses, what has to live until everything is queued); zeroed where asked."""
        if not self._sizes:
            return [], []
        if stream != _DEFAULT_STREAM or not self._keeps:
            fresh = self._fresh(torch.zeros)
            return [t.data_ptr() for t in fresh], fresh
        if not self._kept:
            self._kept = self._fresh(torch.empty)
            pairs = zip(self._kept, self._sizes, strict=True)
            self._cleared = tuple((t.data_ptr(), size) for t, (size, zero) in pairs if zero)
        for address, size in self._cleared:
            _check(_set_bytes(address, 0, size, stream), "clearing a workspace")
        return [t.data_ptr() for t in self._kept], self._kept

    def _fresh(self, zeros: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        return [
            (zeros if zero else torch.empty)(size, dtype=torch.uint8, device=self._device)
            for size, zero in self._sizes
        ]


class _Bound:
    """The launches of one shape on one device.

    The addresses that launches are given stand in one list: those of the inputs, the outputs, the
    workspaces, and of what the prepare stages fill.
    """

    def __init__(
        self, shape: dict[str, Any], device: torch.device, cubins: Callable[[_Plan, int], _Cubin]
    ) -> None:
        plan = _plan(shape, device)
        self._device = device
        forms = [(tuple(t["shape"]), t["dtype"]) for t in (*shape["inputs"], *shape["outputs"])]
        # The first tensor of the same form, because empty_like takes a third of the time of empty.
        new = forms[len(shape["inputs"]) :]
        self._outputs = [(forms.index(f), f[0], getattr(torch, f[1])) for f in new]
        self._workspaces = _Workspaces(plan, device)
        self._persistent = {n: w["bytes"] for n, w in plan["workspaces"].items() if w["persistent"]}
        inputs = [t["name"] for t in shape["inputs"]]
        names = [*inputs, *(t["name"] for t in shape["outputs"])]
        names += [*self._workspaces.names, *self._persistent]
        slots = {name: slot for slot, name in enumerate(names)}
        maps = {name: _Map(m, slots) for name, m in plan["maps"].items()}
        every = plan["prepare"] + plan["stages"]
        cubin = cubins(plan, device.index)
        functions = {s["entry"]: cubin.function(s["entry"], every) for s in every}
        self._prepare, self._stages = (
            [_Stage(s, functions[s["entry"]], maps, slots) for s in plan[kind]]
            for kind in ("prepare", "stages")
        )
        self.prepared = bool(self._prepare)
        """Whether it holds what a captured graph may still read."""
        given = [p for stage in plan["prepare"] for p in stage["params"]]
        buffers = {p["buffer"] for p in given if p["kind"] == "pointer"}
        buffers |= {plan["maps"][p["buffer"]]["buffer"] for p in given if p["kind"] == "map"}
        self._weights = Weights(n for n, name in enumerate(inputs) if name in buffers)
        self._kept = self._fresh()
        self._held: list[dict[str, torch.Tensor]] = []
        self._captured = False
        self._streams: set[int] = set()
        self._lock = threading.Lock()

    def __call__(
        self, inputs: Sequence[torch.Tensor], addresses: list[int]
    ) -> tuple[torch.Tensor, ...]:
        """The outputs; `addresses` are those of the inputs and are added to."""
        outputs = tuple(
            [
                torch.empty_like(inputs[like])
                if like < len(inputs)
                else torch.empty(shape, dtype=dtype, device=self._device)
                for like, shape, dtype in self._outputs
            ]
        )
        addresses += [output.data_ptr() for output in outputs]
        stream = _stream_of(self._device.index)
        with self._lock:
            spaces, _living = self._workspaces.addresses(stream)
            addresses += spaces
            if self._prepare:
                self._prepare_for(inputs, addresses, stream)
            for stage in self._stages:
                stage(addresses, stream)
        return outputs

    def _fresh(self) -> dict[str, torch.Tensor]:
        """Memory for what the prepare stages fill."""
        return {
            name: torch.empty(size, dtype=torch.uint8, device=self._device)
            for name, size in self._persistent.items()
        }

    def _prepare_for(
        self, inputs: Sequence[torch.Tensor], addresses: list[int], stream: int
    ) -> None:
        """Runs what is done once for each set of weights, where they are others than before.

        Adds the addresses of what it fills.
        """
        capturing = torch.cuda.is_current_stream_capturing()
        same = self._weights.same(inputs)
        if not same and capturing:
            raise RuntimeError("call this once with these weights before capturing a graph")
        if not capturing and not (same and stream in self._streams):
            # What was prepared may still be written, or read, on another stream.
            torch.cuda.synchronize(self._device)
        if not same and self._captured:
            # A captured graph goes on reading what it was captured with.
            self._held.append(self._kept)
            self._kept, self._captured = self._fresh(), False
        addresses += [t.data_ptr() for t in self._kept.values()]
        if not same:
            for stage in self._prepare:
                stage(addresses, stream)
            self._weights.remember(inputs)
            self._streams.clear()
        self._streams.add(stream)
        self._captured |= capturing


def _plan(shape: dict[str, Any], device: torch.device) -> _Plan:
    facts = torch.cuda.get_device_properties(device)
    number = f"{facts.major}{facts.minor}"
    launch = shape["launch"]
    plans = launch.get("of", launch).items()
    for architecture, plan in plans:
        same = architecture.removeprefix("sm_").rstrip("af") == number
        if same and plan["multiprocessors"] == facts.multi_processor_count:
            return resolved(plan, shape) if "of" in launch else dict(plan)
    devices = ", ".join(f"{a} with {p['multiprocessors']} multiprocessors" for a, p in plans)
    raise RuntimeError(
        f"this package was made for {devices}; {facts.name} is sm_{number} with "
        f"{facts.multi_processor_count}"
    )


def resolved(rule: _Plan, shape: dict[str, Any]) -> _Plan:
    """The launches of a shape of the domain. Raises ValueError where there are none."""
    names = {**rule["constants"], **shape["launch"]["names"], "SMS": rule["multiprocessors"]}
    variant = next(v for v in rule["variants"] if _value(v["when"], names))
    names.update(variant["macros"])
    tensors = {t["name"]: t["shape"] for t in (*shape["inputs"], *shape["outputs"])}

    def numbers(expressions: Iterable[Any]) -> list[int]:
        return [int(_value(e, names)) for e in expressions]

    def stage(of: _Plan) -> _Plan:
        grid, block = ([*numbers(of[e]), 1, 1][:3] for e in ("grid", "block"))
        if not all(1 <= n <= most for n, most in zip(grid, _GRID, strict=True)):
            raise ValueError(f"this kernel cannot be launched on that shape: its grid is {grid}")
        cluster = of["cluster"] and [*numbers(of["cluster"]), 1, 1][:3]
        (shared,) = numbers([of["shared_memory"]])
        params = [_param(p, names) for p in of["params"]]
        return {
            **of, "grid": grid, "block": block, "cluster": cluster, "shared_memory": shared,
            "params": params,
        }  # fmt: skip

    def tensor_map(of: _Plan) -> _Plan:
        own = of["dims"] is None
        dims = list(reversed(tensors[of["buffer"]])) if own else numbers(of["dims"])
        steps = of["strides"]
        if steps is None:
            steps = [math.prod(dims[: i + 1]) for i in range(len(dims) - 1)]
        return {
            **of,
            "offset": numbers([of["offset"]])[0] * of["item"],
            "dims": dims,
            "strides": [n * of["item"] for n in numbers(steps)],
            "box": numbers(of["box"]),
            "element_strides": numbers(of["element_strides"] or [1] * len(dims)),
        }

    return {
        "cubin": variant["cubin"],
        "symbols": variant["symbols"],
        "stages": [stage(s) for s in variant["stages"]],
        "prepare": [stage(s) for s in variant["prepare"]],
        "maps": {name: tensor_map(m) for name, m in variant["maps"].items()},
        "workspaces": {
            name: {**w, "bytes": numbers([w["bytes"]])[0]}
            for name, w in variant["workspaces"].items()
        },
    }


def _value(expression: Any, names: dict[str, Any]) -> Any:
    """The expressions were checked at the export and are the package's own, as its code is."""
    if isinstance(expression, str):
        return eval(expression, _FUNCTIONS, names)  # noqa: S307
    return expression


def _param(of: _Plan, names: dict[str, Any]) -> _Plan:
    kind = of["kind"]
    if kind == "map":
        return of
    value = _value(of["value"], names)
    if kind == "pointer":
        return {**of, "value": int(value) * of["item"]}
    if kind in _RANGES:
        least, most = _RANGES[kind]
        if not least <= value <= most:
            raise ValueError(f"that shape is too large for this kernel: {of['value']} is {value}")
        return {**of, "value": int(value)}
    return {**of, "value": float(value)}


class Launcher:
    """Runs the kernel on inputs whose shapes were looked up already."""

    def __init__(self, folder: Path, shapes: Sequence[dict[str, Any]], entry: str = "") -> None:
        """`entry` is for packages that compile on installation; here each launch names its own."""
        self._folder = folder
        self._shapes = shapes
        self._bound: dict[tuple[int, int], _Bound] = {}
        self._cubins: dict[tuple[str, int], _Cubin] = {}

    def _cubin(self, plan: _Plan, device: int) -> _Cubin:
        """Loaded once on each device, whatever number of shapes launch it."""
        cubin = self._cubins.get((plan["cubin"], device))
        if cubin is None:
            code = (self._folder / "files" / plan["cubin"]).read_bytes()
            new = _Cubin(code, plan["symbols"])
            cubin = self._cubins.setdefault((plan["cubin"], device), new)
        return cubin

    def _bound_to(self, index: int, device: int) -> _Bound:
        bound = self._bound.get((index, device))
        if bound is None:
            new = _Bound(self._shapes[index], torch.device("cuda", device), self._cubin)
            if len(self._bound) >= SHAPES_KEPT:
                oldest = next((key for key, b in self._bound.items() if not b.prepared), None)
                if oldest is not None:
                    self._bound.pop(oldest, None)
            bound = self._bound.setdefault((index, device), new)
        return bound

    def __call__(self, index: int, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The outputs for shape number `index`, on the inputs' device and its current stream."""
        addresses = [tensor.data_ptr() for tensor in inputs]
        if any(address % ALIGNMENT for address in addresses):
            raise ValueError(f"tensors must begin at a multiple of {ALIGNMENT} bytes; use .clone()")
        device = inputs[0].get_device()
        if device == torch.cuda.current_device():
            return self._bound_to(index, device)(inputs, addresses)
        with torch.cuda.device(device):
            return self._bound_to(index, device)(inputs, addresses)
