"""The task dropout_attention_fp8: its operands, and projections and masks that must not pass."""

import asyncio
from collections.abc import Callable

import pytest
import torch

from avo_tui.evaluation.measurement.judge import judge
from avo_tui.evaluation.problems import dropout
from tests.kernels.wrong_masks import MUTANTS, SMALL, expected, judged, shipped

Tensors = dict[str, torch.Tensor]

TASK = shipped("dropout_attention_fp8")
LARGEST = 448.0


def decoded(byte: int) -> float:
    """The number of an e4m3 byte, by its definition: bias 7, subnormals, no infinity."""
    sign, exponent, fraction = -1.0 if byte & 0x80 else 1.0, byte >> 3 & 15, byte & 7
    if exponent == 0:
        return sign * fraction * 2.0**-9
    return sign * (1.0 + fraction / 8.0) * 2.0 ** (exponent - 7)


DECODED = torch.tensor([decoded(byte) for byte in range(256)])
DECODED[[0x7F, 0xFF]] = float("nan")


def values(tensor: torch.Tensor) -> torch.Tensor:
    """An e4m3 tensor as fp32, by the table above instead of torch."""
    return DECODED[tensor.view(torch.uint8).int()]


def scaled(inputs: Tensors, x: str = "x_scale", w: str = "w_scale") -> torch.Tensor:
    """The product of two scales; an empty name stands for one that was forgotten."""
    one = torch.ones(1)
    return (inputs[x] if x else one) * (inputs[w] if w else one)


def product(inputs: Tensors, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Y with operands that were read otherwise."""
    x, w = change(values(inputs["x"])), change(values(inputs["w"]))
    return (x @ w.T * scaled(inputs)).bfloat16()


def summed(inputs: Tensors, kind: torch.dtype) -> torch.Tensor:
    """Y with sums that are rounded after each 32 products."""
    x, w = values(inputs["x"]), values(inputs["w"])
    y = torch.zeros(*x.shape[:-1], len(w))
    for k in range(0, x.shape[-1], 32):
        y = (y + x[..., k : k + 32] @ w[:, k : k + 32].T).to(kind).float()
    return (y * scaled(inputs)).bfloat16()


def with_scales(x: str, w: str) -> Callable[[Tensors], torch.Tensor]:
    return lambda i: (values(i["x"]) @ values(i["w"]).T * scaled(i, x, w)).bfloat16()


def in_eight_bits(inputs: Tensors) -> torch.Tensor:
    """Y rounded to e4m3 as a kernel would that hands 8-bit numbers to attention."""
    y = product(inputs, lambda t: t).float()
    scale = y.abs().amax() / LARGEST
    return (
        (y / scale).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn).float().mul(scale).bfloat16()
    )


WRONG = {
    "both scales dropped": with_scales("", ""),
    "the scale of x dropped": with_scales("", "w_scale"),
    "the scale of w dropped": with_scales("x_scale", ""),
    "the scale of x for that of w": with_scales("x_scale", "x_scale"),
    "the scale of w for that of x": with_scales("w_scale", "w_scale"),
    "the scales divided by": lambda i: (values(i["x"]) @ values(i["w"]).T / scaled(i)).bfloat16(),
    "bias of the exponent off by one": lambda i: product(i, lambda t: t / 2),
    "subnormals read as zero": lambda i: product(i, lambda t: t * (t.abs() >= 2.0**-6)),
    "subnormals read as normal numbers": lambda i: product(
        i, lambda t: torch.where(t.abs() < 2.0**-6, t.sign() * (2.0**-7 + t.abs() / 2), t)
    ),
    "saturated at 240, the other e4m3": lambda i: product(i, lambda t: t.clamp(-240, 240)),
    "the largest numbers read as infinite and dropped": lambda i: product(
        i, lambda t: t * (t.abs() < LARGEST)
    ),
    "sums in bf16": lambda i: summed(i, torch.bfloat16),
    "the last 64 of the hidden size left out": lambda i: (
        values(i["x"])[..., :-64] @ values(i["w"])[:, :-64].T * scaled(i)
    ).bfloat16(),
    "projection in 8 bits": in_eight_bits,
}
HONEST = {
    "as it is": lambda i: product(i, lambda t: t),
    "sums in fp32, 32 products at a time": lambda i: summed(i, torch.float32),
    "not rounded": lambda i: values(i["x"]) @ values(i["w"]).T * scaled(i),
}


def passes(projection: Callable[[Tensors], torch.Tensor], distribution: str) -> bool:
    """Whether a kernel with this projection and the right mask passes."""
    inputs, expectation = expected(TASK, distribution)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TASK, "project_by_library", projection)
        out = TASK.own(SMALL, inputs)["o"]
    return judge("o", out, expectation).ok


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_projection_passes(name: str) -> None:
    for distribution in dropout.CATEGORIES:
        assert passes(HONEST[name], distribution), distribution


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_projection_fails_some_inputs(name: str) -> None:
    assert not all(passes(WRONG[name], distribution) for distribution in dropout.CATEGORIES)


@pytest.mark.parametrize("name", [n for n in WRONG if "scale" in n or "bias" in n])
def test_wrong_scales_fail_all_inputs_that_are_timed(name: str) -> None:
    assert not passes(WRONG[name], "normal")


@pytest.mark.parametrize("name", ["rows repeat after 128", "one wrong bit of 524,288"])
def test_a_wrong_mask_does_not_pass_the_probe(name: str) -> None:
    """The mask is that of `dropout_attention`, whose tests try the other mistakes."""
    assert not judged(TASK, "probe", MUTANTS[name]).ok


def test_torch_reads_the_operands_as_their_definition_does() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    assert torch.equal(every.float().nan_to_num(0.5), DECODED.nan_to_num(0.5))


@pytest.mark.parametrize("distribution", dropout.CATEGORIES)
def test_operands_are_finite_and_use_the_range_that_their_distribution_is_for(
    distribution: str,
) -> None:
    inputs = TASK.make_inputs(SMALL, 7, distribution)
    x, w = values(inputs["x"]), values(inputs["w"])
    assert bool(x.isfinite().all()) and bool(w.isfinite().all())
    largest = x.abs() == LARGEST
    if distribution == "small":
        below = (x != 0) & (x.abs() < 2.0**-6)
        assert 0.25 < below.float().mean() < 0.75
    elif distribution == "outliers":
        assert largest.sum() > 100
    elif distribution != "probe":
        assert 1 <= largest.sum() < 100


def test_the_scales_cannot_be_told_from_the_operands() -> None:
    """The same x and w may come with scales that differ by a factor of 4,096."""
    drawn = {
        round(float(TASK.make_inputs(SMALL, seed, "probe")["x_scale"].log2())) for seed in range(30)
    }
    assert max(drawn) - min(drawn) >= 8


def test_probes_are_exact() -> None:
    """Y of the values is 0, 1, 2, 4 or 8, as it is with bf16 operands."""
    inputs = TASK.make_inputs(SMALL, 3, "probe")
    v = dropout.project(SMALL, TASK.project_by_library(inputs))[2]
    assert set(v.unique().tolist()) == {0.0, 1.0, 2.0}


def test_inputs_are_a_function_of_the_seed() -> None:
    first, again = (TASK.make_inputs(SMALL, 4, "normal") for _ in range(2))
    other = TASK.make_inputs(SMALL, 5, "normal")
    for name in ("x", "w", "seed", "x_scale", "w_scale"):
        a, b, c = (i[name].view(torch.uint8) for i in (first, again, other))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_the_seed_compiles() -> None:
    from avo_tui.evaluation.backends.cuda.backend import CudaBackend
    from tests.evaluation.cuda.cuda_helpers import context

    compiled = asyncio.run(
        CudaBackend(architecture="sm_90a").compile(TASK, TASK.seed(), context()[0])
    )
    assert compiled.resources.spill_bytes == 0
