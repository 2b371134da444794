import math

import pytest
import torch

from avo_tui.evaluation.measurement import dtypes

NAMES = sorted({d.name for d in dtypes.DTYPES.values()})


@pytest.mark.parametrize("name", NAMES)
def test_the_table_agrees_with_torch(name: str) -> None:
    kind = dtypes.dtype(name)
    sample = torch.empty(3, dtype=dtypes.torch_dtype(name))
    assert sample.element_size() == kind.bytes
    assert dtypes.of(sample) is kind
    assert dtypes.dtype(kind.short) is kind
    assert kind.exact == (not (sample.is_floating_point() or sample.is_complex()))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_poisoned_is_seen_until_it_is_written(name: str) -> None:
    tensor = torch.zeros(5, 3, dtype=dtypes.torch_dtype(name))
    dtypes.poison(tensor)
    assert bool(dtypes.unwritten(tensor).all())
    if dtypes.dtype(name).kind == "float":
        assert bool(tensor.float().isnan().all())
    tensor[2, 1] = 1
    assert int(dtypes.unwritten(tensor).sum()) == 14
    assert dtypes.unwritten(tensor).shape == tensor.shape


@pytest.mark.parametrize("name", NAMES)
def test_each_salt_poisons_with_something_else(name: str) -> None:
    """No integer is impossible: what was never written shows in that two runs differ.

    And nobody can learn how memory looks whose contents will be compared.
    """
    tensor = torch.zeros(4, dtype=dtypes.torch_dtype(name))
    dtypes.poison(tensor, 1)
    first = dtypes.bits(tensor).clone()
    dtypes.poison(tensor, 2)
    assert not torch.equal(dtypes.bits(tensor), first)


FLOATS = ["float64", "float32", "float16", "bfloat16"]


@pytest.mark.parametrize("name", FLOATS)
def test_poison_is_no_nan_that_arithmetic_gives(name: str) -> None:
    kind = dtypes.torch_dtype(name)
    zero = torch.zeros(1, dtype=kind)
    given = [zero / zero, -(zero / zero), (zero + 1) / zero * zero, torch.full((1,), math.nan)]
    known = {int(dtypes.bits(t.to(kind))[0]) for t in given}
    patterns = set()
    for salt in range(256):
        tensor = torch.zeros(1, dtype=kind)
        dtypes.poison(tensor, salt)
        assert bool(tensor.isnan().all())
        assert bool(dtypes.unwritten(tensor, salt).all())
        patterns.add(int(dtypes.bits(tensor)[0]))
    assert len(patterns) >= 120  # bf16 has room for no more
    assert not patterns & known
    assert -1 not in patterns  # all ones: what a candidate's stack and heap are filled with


def test_nan_equals_itself_in_bits() -> None:
    tensor = torch.tensor([float("nan"), 1.0])
    assert torch.equal(dtypes.bits(tensor), dtypes.bits(tensor.clone()))


def test_an_unknown_type_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no dtype 'float3'; there are: float64, float32"):
        dtypes.dtype("float3")


def test_a_copy_of_booleans_keeps_what_was_never_written() -> None:
    """torch's own copy makes True of it, which a reference may well ask for."""
    output = torch.zeros(256, dtype=torch.bool)
    dtypes.poison(output, 7)
    copied = dtypes.copy(output)
    assert bool(dtypes.unwritten(copied, 7).all())
    assert copied.data_ptr() != output.data_ptr()
