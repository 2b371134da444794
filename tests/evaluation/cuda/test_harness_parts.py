"""Parts of the GPU process that need no GPU."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.backends.cuda.harness.candidate import WEIGHTS, Fingerprints
from avo_tui.evaluation.backends.cuda.launch_plan import (
    PlannedAddress,
    PlannedParam,
    PlannedStage,
)

PRINTS = Fingerprints(5, device="cpu")


@given(st.integers(1, 5 * 8 * WEIGHTS), st.integers(0, 2**31), st.data())
def test_one_other_byte_gives_another_fingerprint(
    size: int, seed: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.randint(0, 256, (size,), generator=generator, dtype=torch.uint8)
    first = PRINTS.of(tensor)
    assert PRINTS.of(tensor.clone()) == first
    place = data.draw(st.integers(0, size - 1))
    tensor[place] ^= 1 << data.draw(st.integers(0, 7))
    assert PRINTS.of(tensor) != first


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.int64, torch.bool])
def test_swapped_rows_give_another_fingerprint(dtype: torch.dtype) -> None:
    tensor = (2 * torch.randn(37, WEIGHTS // 4)).floor().clamp_min(0).to(dtype)
    swapped = tensor[torch.tensor([1, 0, *range(2, 37)])].clone()
    assert PRINTS.of(tensor) != PRINTS.of(swapped)
    assert PRINTS.of(tensor) == PRINTS.of(tensor.clone())


def test_another_process_has_other_weights() -> None:
    tensor = torch.arange(1000)
    assert PRINTS.of(tensor) != Fingerprints(6, device="cpu").of(tensor)


def test_an_address_among_a_parameter_s_bytes_is_filled_in() -> None:
    """As CuTe DSL gives tensor maps: encoded but for the address, the other bytes as they are."""
    pytest.importorskip("cuda.bindings")
    from avo_tui.evaluation.backends.cuda.harness.launch import _Launch

    params = (
        PlannedParam(kind="i32", value=7),
        PlannedParam(
            kind="bytes", data="ab" * 24, addresses=(PlannedAddress(at=8, buffer="y", value=64),)
        ),
    )
    stage = PlannedStage(
        entry="f", grid=(1, 1, 1), block=(32, 1, 1), cluster=None, shared_memory=0,
        cooperative=False, programmatic=False, params=params, path="kernel.py:1",
    )  # fmt: skip
    buffers: Any = SimpleNamespace(address=lambda name: {"y": 1 << 44}[name])
    launch = _Launch(stage, None, {}, buffers)
    pointers = (ctypes.c_void_p * 2).from_address(launch._arguments)
    assert ctypes.c_int32.from_address(pointers[0] or 0).value == 7
    address = ((1 << 44) + 64).to_bytes(8, "little")
    assert ctypes.string_at(pointers[1] or 0, 24) == b"\xab" * 8 + address + b"\xab" * 8
