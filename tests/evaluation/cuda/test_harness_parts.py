"""Parts of the GPU process that need no GPU."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.backends.cuda.harness.candidate import WEIGHTS, Fingerprints

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
