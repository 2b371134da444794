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


@pytest.mark.parametrize("name", ["int8", "uint8", "int64", "bool"])
def test_integers_are_poisoned_with_something_else_each_time(name: str) -> None:
    """No integer is impossible: what was never written shows in that two runs differ."""
    tensor = torch.zeros(4, dtype=dtypes.torch_dtype(name))
    dtypes.poison(tensor, 1)
    first = dtypes.bits(tensor).clone()
    dtypes.poison(tensor, 2)
    assert not torch.equal(dtypes.bits(tensor), first)


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
