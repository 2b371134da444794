"""Outputs are judged by the baseline's own error, row by row."""

import pytest
import torch

from avo_tui.evaluation.judge import Expected, expect, judge
from avo_tui.evaluation.task import Tolerance

TOLERANCE = Tolerance(factor=4, floor=4e-5, rms_factor=4, rms_floor=1.5e-5)


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


def test_one_wrong_value_is_found(reference: torch.Tensor, expected: Expected) -> None:
    output = reference.float()
    output[1, 2, 39, 63] += 0.01
    verdict = judge("out", output, expected)
    assert not verdict.ok
    assert "out[1, 2, 39, 63]" in verdict.detail and "1 of 15360" in verdict.detail


def test_an_error_in_a_small_row_is_not_hidden_by_a_large_one(reference: torch.Tensor) -> None:
    reference[0, 0, 7] *= 1e4
    output = reference.float()
    output[1, 1, 3] *= 1.01
    assert not judge("out", output, expect(reference, reference.float(), TOLERANCE)).ok


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_fails(
    value: float, reference: torch.Tensor, expected: Expected
) -> None:
    output = reference.float()
    output[0, 1, 2, 3] = value
    verdict = judge("out", output, expected)
    assert verdict.error == float("inf") and "out[0, 1, 2, 3]" in verdict.detail


def test_a_faint_error_everywhere_fails_by_its_mean(
    reference: torch.Tensor, expected: Expected
) -> None:
    output = (reference * (1 + 3e-5)).float()
    assert not judge("out", output, expected).ok
