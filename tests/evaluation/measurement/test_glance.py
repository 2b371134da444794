"""The quick look at timed outputs: what the full judgement lets pass it lets pass, and no more."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.measurement.judge import Glance, Tolerance, expect, judge


def _pair(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A reference and a library's output in single precision."""
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(40, 64, generator=generator, dtype=torch.float64)
    return reference, reference.float()


@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 0.9))
def test_what_passes_in_full_passes_at_a_glance(seed: int, share: float) -> None:
    reference, own = _pair(seed)
    tolerance = Tolerance(factor=4.0, floor=4e-5, rms_factor=4.0, rms_floor=1.5e-5)
    expected = expect(reference, own, tolerance)
    noise = torch.randn(own.shape, generator=torch.Generator().manual_seed(seed + 1))
    output = own + share * 1.5e-5 * noise
    if judge("o", output, expected).ok:
        assert Glance.of(expected, own).look("o", output, own).ok


@pytest.mark.parametrize("damage", ["bits", "element", "nan", "zero"])
def test_what_no_rounding_explains_does_not_pass(damage: str) -> None:
    _, own = _pair(7)
    glance = glance_of(1.0)
    assert glance.look("o", own, own).ok
    output = own.clone()
    if damage == "bits":
        output = output.bfloat16().float()
    elif damage == "element":
        output[3, 4] += 0.01
    elif damage == "nan":
        output[0, 0] = float("nan")
    else:
        output[39] = 0
    verdict = glance.look("o", output, own)
    assert not verdict.ok and verdict.error > 1
    assert (verdict.error == float("inf")) is (damage == "nan")
    for unit in (2.0**-10, 2.0**13):
        scaled = glance_of(unit)
        assert scaled.largest == pytest.approx(glance.largest, rel=1e-3)
        assert scaled.look("o", own * unit, own * unit).ok
        assert not scaled.look("o", output * unit, own * unit).ok


@given(st.integers(0, 10**6), st.floats(1e-6, 1e-4), st.sampled_from([2.0**-10, 1.0, 2.0**13]))
def test_a_glance_leaves_half_as_much_again_as_the_full_judgement(
    seed: int, noise: float, unit: float
) -> None:
    """Beside the library's own error, which the two outputs may have in opposite directions."""
    reference, exact = (tensor * unit for tensor in _pair(seed))
    noise *= unit
    generator = torch.Generator().manual_seed(seed + 1)
    own = (exact + noise * torch.randn(exact.shape, generator=generator)).float()
    expected = expect(reference, own, Tolerance(factor=4.0, floor=4e-5, rms_factor=4.0))
    glance = Glance.of(expected, own)
    assert expected.limit is not None
    largest = reference.abs().amax(-1, keepdim=True)
    most = float((expected.limit / largest).max())
    most += float(((own.double() - reference).abs() / largest).max())
    assert glance.largest == pytest.approx(1.5 * most, rel=1e-4)
    error = (own.double() - reference).square().mean().sqrt() / reference.square().mean().sqrt()
    assert glance.mean == pytest.approx(1.3 * (expected.rms_limit + float(error)), rel=0.3)
    single = own.clone()
    single[3, 4] += 1.01 * glance.largest * float(own[3].abs().max())
    assert not glance.look("o", single, own).ok
    signs = torch.randn(own.shape, generator=generator).sign()
    for share in (0.95, 1.05):
        faint = own + share * glance.mean * own.square().mean().sqrt() * signs
        assert glance.look("o", faint, own).ok is (share < 1)


def glance_of(unit: float) -> Glance:
    """Limits on the same numbers in another unit."""
    reference, own = _pair(7)
    return Glance.of(expect(reference * unit, own * unit, Tolerance(floor=4e-5)), own * unit)


def test_integers_are_equal_or_wrong() -> None:
    own = torch.arange(12, dtype=torch.int32).reshape(3, 4)
    glance = Glance.of(expect(own, own, Tolerance()), own)
    assert glance.look("counts", own.clone(), own).ok
    assert not glance.look("counts", own + 1, own).ok
