"""Outputs are judged by the library's own error: row by row, in the mean, and for a lean."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.judge import Expected, Tolerance, expect, judge, judge_each
from avo_tui.evaluation.tasks import find_tasks

TOLERANCE = Tolerance(factor=4, floor=4e-5, rms_factor=4, rms_floor=1.5e-5)
AXES = ("batch", "seq", "head", "head_dim")
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.fixture
def reference() -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, 40, 64, generator=generator, dtype=torch.float64)


@pytest.fixture
def expected(reference: torch.Tensor) -> Expected:
    return expect(reference, reference.float(), TOLERANCE)


def test_single_precision_passes(reference: torch.Tensor, expected: Expected) -> None:
    verdict = judge("out", reference.float(), expected)
    assert verdict.ok and verdict.error < 0.5


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_fails(
    kind: torch.dtype, reference: torch.Tensor, expected: Expected
) -> None:
    verdict = judge("out", reference.to(kind).float(), expected)
    assert not verdict.ok and "values are wrong" in verdict.detail


def _in_order(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lanes: int) -> torch.Tensor:
    """Attention in single precision whose products are `lanes` partial sums, added in turn."""
    parts = (q[:, :, :, None] * k[:, :, None]).unflatten(-1, (-1, lanes))
    sums = torch.zeros((*parts.shape[:-2], lanes))
    for step in range(parts.shape[-2]):
        sums = sums + parts[..., step, :]
    scores = torch.zeros(sums.shape[:-1])
    for lane in range(lanes):
        scores = scores + sums[..., lane]
    return torch.softmax(scores * 0.125, dim=-1) @ v


@pytest.mark.parametrize("lanes", [1, 4, 16, 32])
@pytest.mark.parametrize("kind", ["sunk", "offset", "rising", "large_logits"])
def test_an_equally_good_order_of_additions_passes(kind: str, lanes: int) -> None:
    """With the library's error in its own row alone, up to one draw in four was refused."""
    task = find_tasks().get("attention_cpu")
    run = task.baselines()["torch"]
    case = next(case for case in task.check_cases() if case.configuration.name == "batch-2")
    for seed in range(6):
        inputs = task.make_inputs(case.configuration, seed, kind)
        reference = task.reference(case.configuration, inputs)["out"]
        own = run(case.configuration, inputs)["out"]
        verdict = judge(
            "out",
            _in_order(inputs["q"], inputs["k"], inputs["v"], lanes),
            expect(reference, own, task.tolerance),
        )
        assert verdict.error < 0.9, (seed, verdict.detail)


def test_a_row_that_the_library_gets_wrong_excuses_no_other(reference: torch.Tensor) -> None:
    own = reference.float()
    own[0, 0, :10] *= 2  # 10 of 240 rows
    output = reference.float()
    output[1, 1, 3] *= 1.01
    assert not judge("out", output, expect(reference, own, TOLERANCE)).ok


def test_one_wrong_value_is_found_and_named(reference: torch.Tensor) -> None:
    output = reference.float()
    output[1, 2, 39, 63] += 0.01
    verdict = judge("out", output, expect(reference, reference.float(), TOLERANCE, AXES))
    assert not verdict.ok
    assert "out[1, 2, 39, 63]" in verdict.detail and "1 of 15360 values" in verdict.detail
    assert "1 of 240 rows (batch 1, seq 2, head 39)" in verdict.detail
    assert "39" not in verdict.reason


def test_an_error_in_a_small_row_is_not_hidden_by_a_large_one(reference: torch.Tensor) -> None:
    reference[0, 0, 7] *= 1e4
    output = reference.float()
    output[1, 1, 3] *= 1.01
    assert not judge("out", output, expect(reference, reference.float(), TOLERANCE)).ok
    whole = Tolerance(factor=4, floor=4e-5, rms_factor=4, rms_floor=1.5e-5, per_row=False)
    assert judge("out", output, expect(reference, reference.float(), whole)).ok


def test_a_row_near_zero_may_be_near_zero(reference: torch.Tensor) -> None:
    """Where a row's values cancel, the rounding errors are those of what was cancelled."""
    reference[0, 0, 7] = 0.0
    output = reference.float()
    output[0, 0, 7] = 1e-7
    assert judge("out", output, expect(reference, reference.float(), TOLERANCE)).ok
    output[0, 0, 7] = 1e-3
    assert not judge("out", output, expect(reference, reference.float(), TOLERANCE)).ok


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_fails(
    value: float, reference: torch.Tensor, expected: Expected
) -> None:
    output = reference.float()
    output[0, 1, 2, 3] = value
    verdict = judge("out", output, expected)
    assert verdict.error == math.inf and "out[0, 1, 2, 3]" in verdict.detail
    assert verdict.reason == "It is not finite." and "never written" not in verdict.detail


def test_where_the_reference_is_infinite_the_output_must_be(reference: torch.Tensor) -> None:
    reference[0, 0, 0, 0] = -math.inf
    reference[0, 0, 0, 1] = math.nan
    reference[0, 0, 0, 2] = 1e39  # not in single precision
    expected = expect(reference, reference.float(), TOLERANCE)
    assert judge("out", reference.float(), expected).ok
    for place, value in ((0, math.inf), (0, -1e30), (1, 0.0), (2, 1e38)):
        output = reference.float()
        output[0, 0, 0, place] = value
        verdict = judge("out", output, expected)
        assert not verdict.ok, (place, value)
        assert ("not infinite" in verdict.reason) is math.isfinite(value)


def test_a_library_that_overflows_excuses_nobody(reference: torch.Tensor) -> None:
    own = reference.float()
    own[0, 0, 0, 0] = math.inf
    output = reference.float()
    output[0, 0, 0, 5] += 0.1
    assert not judge("out", output, expect(reference, own, TOLERANCE)).ok


def test_a_faint_error_everywhere_fails_by_its_mean(
    reference: torch.Tensor, expected: Expected
) -> None:
    output = (reference * (1 + 3e-5)).float()
    assert not judge("out", output, expected).ok


def test_an_error_that_leans_fails_though_it_is_small() -> None:
    generator = torch.Generator().manual_seed(1)
    reference = torch.randn(4096, 64, generator=generator, dtype=torch.float64)
    noise = 1e-3 * torch.randn(4096, 64, generator=generator, dtype=torch.float64)
    expected = expect(reference, (reference + noise).float(), Tolerance(4, 1e-2, 1.4, 0))
    fair = judge("y", (reference + noise.flip(0)).float(), expected)
    assert fair.ok
    leaning = judge("y", (reference - 1e-3 * reference.sign()).float(), expected)
    assert not leaning.ok
    assert "towards zero" in leaning.detail
    for side in (1, -1):  # a library that leans itself, to whichever side, widens what is allowed
        own = reference * (1 + side * 1e-3)
        assert judge("y", own.float(), expect(reference, own.float(), Tolerance(4, 1e-2, 1.4))).ok


@pytest.mark.parametrize(
    ("times", "most", "passes"),
    [(1.0, None, True), (1.2, None, True), (1.2, 1.1, False), (1.05, 1.1, True), (0.8, 0.9, True)],
)
def test_the_error_is_told_beside_the_library_s_and_may_be_limited(
    times: float, most: float | None, passes: bool
) -> None:
    generator = torch.Generator().manual_seed(1)
    reference = torch.randn(8192, 64, generator=generator, dtype=torch.float64)
    noise = 1e-3 * torch.randn(8192, 64, generator=generator, dtype=torch.float64)
    tolerance = Tolerance(4, 1e-2, 1.4, 1e-2, max_error_ratio=most)
    expected = {"y": expect(reference, reference + noise, tolerance)}
    judged = judge_each({"y": reference - times * noise.flip(0)}, expected)
    assert judged.error_ratio == pytest.approx(times, rel=0.01)
    assert judged.ok is passes


def test_no_error_is_told_beside_a_library_that_makes_none(reference: torch.Tensor) -> None:
    every = {"y": expect(reference, reference.clone(), TOLERANCE), "bins": expect(
        reference.int(), reference.int(), TOLERANCE
    )}  # fmt: skip
    judged = judge_each({"y": reference.float().double(), "bins": reference.int()}, every)
    assert judged.ok and judged.error_ratio is None
    with_error = {"z": expect(reference, reference.float(), TOLERANCE), **every}
    judged = judge_each({"z": reference.float(), "bins": reference.int()}, with_error)
    assert judged.error_ratio == pytest.approx(1)


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_are_compared_exactly(kind: str) -> None:
    dtype = dtypes.torch_dtype(kind)
    reference = torch.arange(120).reshape(2, 60).to(dtype)
    expected = expect(reference, reference, Tolerance(factor=100, floor=100))
    assert judge("bins", reference.clone(), expected).ok
    wrong = reference.clone().to(torch.int64)
    wrong[1, 7] += 2
    verdict = judge("bins", wrong.to(dtype), expected)
    assert verdict.error == math.inf
    assert "bins[1, 7] is 69, expected 67" in verdict.detail
    assert "1 of 120 values" in verdict.detail
    assert "69" not in verdict.reason


def test_a_right_value_that_looks_unwritten_is_not_told_of() -> None:
    junk = torch.empty(1, dtype=torch.int16)
    dtypes.poison(junk, 3)
    five, six = torch.tensor([5, 6], dtype=torch.int16).split(1)
    reference, output = torch.cat([junk, five, six]), torch.cat([junk, junk, six])
    found = judge("y", output, expect(reference, reference, Tolerance()), 3)
    assert found.detail.startswith("y[1] is") and "expected 5; 1 of 3 elements seem" in found.detail


def test_booleans_are_compared_exactly() -> None:
    reference = torch.tensor([True, False, True])
    expected = expect(reference, reference, Tolerance())
    assert judge("mask", reference.clone(), expected).ok
    assert not judge("mask", torch.tensor([True, True, True]), expected).ok
    unwritten = torch.zeros(3, dtype=torch.bool)
    dtypes.poison(unwritten)
    found = judge("mask", unwritten, expected)
    assert not found.ok
    assert "3 of 3 elements seem never to have been written" in found.detail


def test_floating_point_can_be_asked_to_be_exact() -> None:
    reference = torch.linspace(0, 1, 33, dtype=torch.float64)
    own = reference.to(torch.bfloat16)
    expected = expect(reference, own, Tolerance(exact=True))
    assert judge("y", own.clone(), expected).ok
    other = own.clone()
    other.view(torch.int16)[5] += 1
    assert not judge("y", other, expected).ok
    odd = torch.tensor([math.nan, 0.0])
    expected = expect(odd.double(), odd, Tolerance(exact=True))
    assert judge("y", -odd, expected).ok
    assert not judge("y", odd.flip(0), expected).ok and not judge("y", torch.zeros(2), expected).ok


@pytest.mark.parametrize(
    "kind", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
)
def test_every_floating_point_type_is_judged(kind: str) -> None:
    dtype = dtypes.torch_dtype(kind)
    generator = torch.Generator().manual_seed(2)
    reference = torch.randn(50, 32, generator=generator, dtype=torch.float64)
    own = reference.to(dtype)
    expected = expect(reference, own, Tolerance(2, 0, 1.4, 0))
    assert judge("y", own.clone(), expected).ok
    wrong = reference.clone()
    wrong[3] *= 1.5
    verdict = judge("y", wrong.to(dtype), expected)
    assert not verdict.ok and "in 1 of 50 rows (axis 0 3)" in verdict.detail
    unwritten = own.clone()
    dtypes.poison(unwritten)
    found = judge("y", unwritten, expected)
    assert found.error == math.inf
    assert "1600 of 1600 elements were never written" in found.detail


def test_complex_numbers_are_judged_by_their_parts() -> None:
    generator = torch.Generator().manual_seed(2)
    reference = torch.randn(20, 8, generator=generator, dtype=torch.complex128)
    own = reference.to(torch.complex64)
    expected = expect(reference, own, TOLERANCE)
    assert judge("y", own.clone(), expected).ok
    assert not judge("y", own.conj().resolve_conj(), expected).ok


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.int32])
@pytest.mark.parametrize("per_row", [True, False])
def test_no_tolerance_means_equal(kind: torch.dtype, per_row: bool) -> None:
    exact = torch.arange(24.0).reshape(4, 6)
    none = Tolerance(0, 0, 0, 0, per_row=per_row)
    expected = expect(exact.double(), exact.to(kind), none)
    assert judge("y", exact.to(kind), expected).error == 0
    wrong = exact.to(kind).clone()
    wrong[2, 3] += 1
    assert judge("y", wrong, expected).error == math.inf


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (2, 0, 4)])
@pytest.mark.parametrize("per_row", [True, False])
def test_any_number_of_dimensions_is_judged(shape: tuple[int, ...], per_row: bool) -> None:
    reference = torch.ones(shape, dtype=torch.float64)
    expected = expect(reference, reference.float(), Tolerance(per_row=per_row))
    assert judge("y", reference.float(), expected).ok
    if reference.numel():
        assert not judge("y", 2 * reference.float(), expected).ok


@given(st.integers(0, 2**31), st.floats(1e-20, 1e20))
def test_the_unit_does_not_matter(seed: int, unit: float) -> None:
    """Scaling reference, library and output alike changes no verdict."""
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(8, 16, generator=generator, dtype=torch.float64)
    output = reference + 1e-4 * torch.randn(8, 16, generator=generator, dtype=torch.float64)
    own = reference + 1e-4 * torch.randn(8, 16, generator=generator, dtype=torch.float64)
    plain = judge("y", output, expect(reference, own, TOLERANCE))
    scaled = judge("y", output * unit, expect(reference * unit, own * unit, TOLERANCE))
    assert scaled.error == pytest.approx(plain.error, rel=1e-6)


def test_an_output_of_another_shape_is_the_harness_s_mistake(expected: Expected) -> None:
    with pytest.raises(ValueError, match="has shape"):
        judge("out", torch.zeros(3), expected)
