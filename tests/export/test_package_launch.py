"""What an exported CUDA package gives its kernels, by a driver that only writes down what it gets.

On a GPU `benchmarks/exported_attention.py` runs the same code with the real one.
"""

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cuda.bindings")

from avo_tui.evaluation.backends.cuda import package_launch  # noqa: E402

CAPTURING, DEFAULT = 7, 0
OFFSET = 64
"""Bytes into y at which the kernel's second pointer begins."""


def shape(zeroed: int) -> dict[str, Any]:
    """y = f(x) with a second output, a scalar, and a zeroed workspace beside one that is not."""
    params = [
        {"kind": "pointer", "value": 0, "buffer": "x"},
        {"kind": "pointer", "value": OFFSET, "buffer": "y"},
        {"kind": "pointer", "value": 0, "buffer": "z"},
        {"kind": "i32", "value": 11, "buffer": ""},
        {"kind": "pointer", "value": 0, "buffer": "counter"},
        {"kind": "pointer", "value": 0, "buffer": "partial"},
    ]
    stage = {
        "entry": "f", "grid": [2, 1, 1], "block": [32, 1, 1], "cluster": None,
        "shared_memory": 0, "cooperative": False, "programmatic": False, "params": params,
    }  # fmt: skip
    return {
        "inputs": [{"name": "x", "dtype": "float32", "shape": [8, 4]}],
        "outputs": [
            {"name": "y", "dtype": "float32", "shape": [8, 4]},
            {"name": "z", "dtype": "int32", "shape": [3]},
        ],
        "launch": {
            "cubin": "f.cubin", "symbols": {}, "prepare": [], "stages": [stage], "maps": {},
            "workspaces": {
                "counter": {"bytes": zeroed, "zero": True, "persistent": False},
                "partial": {"bytes": 32, "zero": False, "persistent": False},
            },
        },
    }  # fmt: skip


class Driver:
    """Keeps the launches' parameters and what the zeroed workspace held; clears memory for real."""

    def __init__(self) -> None:
        self.launches: list[tuple[list[int], bytes]] = []
        self.cleared: list[int] = []
        self.stream = DEFAULT

    def launch(self, config: Any, function: Any, arguments: int, extra: int) -> tuple[int]:
        pointers = (ctypes.c_void_p * 6).from_address(arguments)
        kinds = [ctypes.c_uint64] * 3 + [ctypes.c_int32] + [ctypes.c_uint64] * 2
        values = [k.from_address(p or 0).value for k, p in zip(kinds, pointers, strict=True)]
        assert int(config.hStream) == self.stream
        self.launches.append((values, ctypes.string_at(values[4], 4)))
        ctypes.memset(values[4], 255, 4)  # as a kernel leaves its counter behind
        return (0,)

    def clear(self, address: int, value: int, size: int, stream: int) -> tuple[int]:
        assert stream == DEFAULT
        ctypes.memset(address, value, size)
        self.cleared.append(address)
        return (0,)


Bind = Callable[[int], tuple[Driver, Callable[[Any], Any]]]


@pytest.fixture
def bind(monkeypatch: pytest.MonkeyPatch) -> Bind:
    """From bytes of the zeroed workspace to (what sees its launches, the package's call)."""

    def bound(zeroed: int) -> tuple[Driver, Callable[[Any], Any]]:
        driver = Driver()
        cubin: Any = SimpleNamespace(function=lambda entry, stages: 1)
        monkeypatch.setattr(package_launch, "_plan", lambda shape, device: shape["launch"])
        monkeypatch.setattr(package_launch, "_launch", driver.launch)
        monkeypatch.setattr(package_launch, "_set_bytes", driver.clear)
        monkeypatch.setattr(package_launch, "_stream_of", lambda device: driver.stream)
        made = package_launch._Bound(shape(zeroed), torch.device("cpu"), lambda plan, device: cubin)
        return driver, lambda x: made([x], [x.data_ptr()])

    return bound


def test_each_parameter_gets_its_address(bind: Bind) -> None:
    driver, call = bind(16)
    x = torch.ones(8, 4)
    y, z = call(x)
    assert (y.shape, y.dtype, z.shape, z.dtype) == ((8, 4), torch.float32, (3,), torch.int32)
    ((values, _),) = driver.launches
    assert values[:4] == [x.data_ptr(), y.data_ptr() + OFFSET, z.data_ptr(), 11]
    other = torch.ones(8, 4)
    call(other)
    assert driver.launches[1][0][0] == other.data_ptr()


def test_an_address_among_a_parameter_s_bytes_is_filled_in(
    bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CuTe DSL gives tensor maps: encoded but for the address, the other bytes as they are."""
    whole = shape(16)
    (stage,) = whole["launch"]["stages"]
    stage["params"][2] = {
        "kind": "bytes", "data": "ab" * 24, "addresses": [{"at": 8, "buffer": "x", "value": 4}],
    }  # fmt: skip
    monkeypatch.setitem(globals(), "shape", lambda zeroed: whole)
    seen: list[bytes] = []
    _, call = bind(16)

    def launch(config: Any, function: Any, arguments: int, extra: int) -> tuple[int]:
        pointers = (ctypes.c_void_p * 6).from_address(arguments)
        seen.append(ctypes.string_at(pointers[2] or 0, 24))
        return (0,)

    monkeypatch.setattr(package_launch, "_launch", launch)
    for x in (torch.ones(8, 4), torch.ones(8, 4)):
        call(x)
        address = (x.data_ptr() + 4).to_bytes(8, "little")
        assert seen[-1] == b"\xab" * 8 + address + b"\xab" * 8


def test_a_workspace_is_zero_at_every_launch_and_kept_on_the_default_stream(bind: Bind) -> None:
    driver, call = bind(16)
    for _ in range(3):
        call(torch.ones(8, 4))
    assert [content for _, content in driver.launches] == [bytes(4)] * 3
    assert len({values[4] for values, _ in driver.launches}) == 1
    assert driver.cleared == [driver.launches[0][0][4]] * 3  # the other workspace is not cleared


def test_another_stream_s_workspace_is_its_own(bind: Bind) -> None:
    driver, call = bind(16)
    call(torch.ones(8, 4))
    driver.stream = CAPTURING
    call(torch.ones(8, 4))
    kept, own = (values[4] for values, _ in driver.launches)
    assert own != kept and driver.launches[1][1] == bytes(4)
    assert len(driver.cleared) == 1


def test_large_workspaces_are_not_kept(bind: Bind) -> None:
    driver, call = bind(package_launch.KEPT_BYTES)
    call(torch.ones(8, 4))
    assert not driver.cleared and driver.launches[0][1] == bytes(4)
