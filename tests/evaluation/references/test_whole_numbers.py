"""Inputs of whole numbers: which are plain numbers, and what the check then feeds a kernel."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.references.deriving import Wishes, derive
from avo_tui.evaluation.references.distributions import DISTRIBUTIONS, distribute
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.spec import ReferenceSpec
from avo_tui.evaluation.references.task import reference_cases
from avo_tui.evaluation.references.watching import plain_numbers

MODEL = """\
import torch

n = 40


class Model(torch.nn.Module):
    def forward(self, x, other):
        return {result}


def get_inputs():
    return [torch.randint(0, 100, (n,), dtype=torch.int32), {other}]


def get_init_inputs():
    return []
"""
NUMBERS = "torch.randint(-5, 5, (n,), dtype=torch.int32)"


def derived(result: str, other: str = NUMBERS) -> ReferenceSpec:
    text = MODEL.format(result=result, other=other)
    return derive(read(text, "model.py"), Wishes("mine", "cpp", "model.py"))


@pytest.mark.parametrize(
    ("result", "other", "numbers"),
    [
        ("torch.cumsum(x, 0) + other.sum()", NUMBERS, ("x", "other")),
        ("x.sort()[0] * other.sign()", NUMBERS, ("x", "other")),
        ("(x.float() @ other.float()).reshape(1)", NUMBERS, ("x", "other")),
        ("x[other]", "torch.randint(0, n, (n,))", ("x",)),
        ("x[(other * 2) // 2]", "torch.randint(0, n, (n,))", ("x",)),
        ("x.gather(0, other.view(-1))", "torch.randint(0, n, (n,))", ("x",)),
        ("x[x.argsort()] + other", NUMBERS, ("x", "other")),
        ("torch.bincount(x, minlength=100) + other.sum()", NUMBERS, ("other",)),
        ("x * other", "torch.randint(0, 2, (n,), dtype=torch.int32)", ("x",)),
        ("x[:len(range(int(other[0])))].sum() + x", "torch.randint(2, n, (3,))", ("x",)),
        ("x + sum(other.tolist())", "torch.randint(2, n, (3,))", ("x",)),
        ("torch.where(other > 2, x, 0)", NUMBERS, ("x",)),
        ("x.masked_fill(other == 3, 0)", NUMBERS, ("x",)),
    ],
)
def test_indices_lengths_and_masks_keep_their_values(
    result: str, other: str, numbers: tuple[str, ...]
) -> None:
    text = MODEL.format(result=result, other=other)
    sample = read(text, "model.py").draw({}, 7, "cpu")
    assert plain_numbers(sample, ["x", "other"]) == numbers


def test_a_sum_in_64_bits_is_tried_with_numbers_that_overflow_32() -> None:
    spec = derived("torch.cumsum(x, 0) + other")
    assert spec.distributions == ("normal", "small", "large", "shifted", "outliers")
    assert spec.scored[0].flops >= 80, "whole numbers are work, too"
    assert spec.independent is not None, "the last number reaches the last sum only"


def test_kinds_that_would_overflow_in_the_reference_itself_are_left_out() -> None:
    assert derived("x * x + other * 0").distributions == ("normal", "small")


def test_without_numbers_there_is_one_kind_and_no_case_twice() -> None:
    spec = derived("torch.bincount(x, minlength=100)", "torch.zeros(n, dtype=torch.bool)")
    assert spec.numbers == () and spec.distributions == ("normal",)
    assert {case.distribution for case in reference_cases(spec)} == {"normal"}


def test_rows_of_whole_numbers_are_seen_to_be_independent() -> None:
    text = MODEL.replace("(n,)", "(n, 7)").format(
        result="x.sum(-1) + other.sum(-1)", other=NUMBERS.replace("(n,)", "(n, 7)")
    )
    spec = derive(read(text, "model.py"), Wishes("mine", "cpp", "model.py"))
    assert spec.independent is not None and spec.independent.axis == "n"


@given(
    dtype=st.sampled_from([torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8]),
    values=st.lists(st.integers(-128, 127), min_size=1, max_size=300),
    kind=st.sampled_from(sorted(DISTRIBUTIONS)),
)
def test_every_kind_stays_within_the_dtype_and_its_signs(
    dtype: torch.dtype, values: list[int], kind: str
) -> None:
    before = torch.tensor(values).to(dtype)
    after = distribute({"x": before, "y": before}, kind, {"x"})
    assert torch.equal(after["y"], before), "only what is named is changed"
    x = after["x"]
    assert x.dtype == dtype and x.shape == before.shape
    if not (before.long() < 0).any():
        assert not (x.long() < 0).any()
    if kind == "small":
        assert int(x.long().abs().max()) <= 1
    if kind == "large" and before.long().abs().max() > 0 and dtype == torch.int32:
        assert int(x.long().abs().max()) >= torch.iinfo(dtype).max // 16
