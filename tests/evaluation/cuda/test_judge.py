import math

import pytest
import torch
from cuda_helpers import small_task

from avo_tui.evaluation.backends.cuda import judging
from avo_tui.evaluation.backends.cuda.attention import DISTRIBUTIONS, SCALE, shape
from avo_tui.evaluation.backends.cuda.judge import POISON, judge

CAUSAL = shape("c", 1, 192, 4, 2, True)
FULL = shape("f", 2, 128, 2, 2, False)


def weights(task, configuration, inputs):
    """Unnormalised probabilities in fp32, with the values they weigh."""
    group = inputs["q"].shape[2] // inputs["k"].shape[2]
    q, k, v = (inputs[n].float().transpose(1, 2) for n in ("q", "k", "v"))
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    s = (q @ k.transpose(-1, -2)) * SCALE
    if configuration.parameters["causal"]:
        s.masked_fill_(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    return (s - s.amax(-1, keepdim=True)).exp(), v


def answer(p, v, cut):
    out = (cut(p) @ v) / p.sum(-1, keepdim=True)
    return out.to(torch.bfloat16).transpose(1, 2).contiguous()


def bf16(x):
    return x.to(torch.bfloat16).float()


def fp8(x):
    return x.to(torch.float8_e4m3fn).float()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("configuration", [CAUSAL, FULL], ids=["causal", "full"])
def test_bf16_weights_pass_and_fp8_weights_do_not(configuration, distribution):
    task = small_task()
    inputs = task.make_inputs(configuration, 11, distribution)
    reference = task.reference(configuration, inputs)["o"]
    p, v = weights(task, configuration, inputs)
    own = answer(p, v, bf16)  # as a library does it: weights in bf16, sums in fp32
    other = answer(p / 3, v, bf16)  # other roundings of the same precision
    assert judge("o", own, reference, own, task.tolerance).ok
    assert judge("o", other, reference, own, task.tolerance).ok
    found = judge("o", answer(p, v, fp8), reference, own, task.tolerance)
    if distribution != "needle":  # there nearly all weight is 1, which fp8 holds exactly
        assert not found.ok
        assert found.error > 1.2


def bits(count):
    """Rounds to so many bits behind the first."""

    def cut(x):
        mantissa, exponent = torch.frexp(x)
        return torch.ldexp((mantissa * 2 ** (count + 1)).round() / 2 ** (count + 1), exponent)

    return cut


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_lagging_maximum_passes_and_five_bits_do_not(distribution):
    """Rescaling as FlashAttention-4 does rounds also the largest weight, which else is 1."""
    task, configuration = small_task(), shape("l", 1, 1024, 4, 4, False)
    inputs = task.make_inputs(configuration, 3, distribution)
    reference = task.reference(configuration, inputs)["o"]
    p, v = weights(task, configuration, inputs)
    own = answer(p, v, bf16)
    lag = torch.exp2(8 * torch.rand(p.shape[:-1], generator=torch.Generator().manual_seed(4)))
    found = judge("o", answer(p * lag[..., None], v, bf16), reference, own, task.tolerance)
    assert found.ok
    if distribution == "outliers":
        assert judge("o", answer(p, v, bits(5)), reference, own, task.tolerance).error > 1.05


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_reference_is_attention(distribution):
    task = small_task()
    inputs = task.make_inputs(CAUSAL, 5, distribution)
    q, k, v = (inputs[n].double().transpose(1, 2) for n in ("q", "k", "v"))
    exact = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=True
    )
    torch.testing.assert_close(
        task.reference(CAUSAL, inputs)["o"].double(), exact.transpose(1, 2), rtol=1e-4, atol=1e-3
    )


def test_inputs_are_a_function_of_the_seed():
    task = small_task()
    for distribution in DISTRIBUTIONS:
        first, again = (task.make_inputs(FULL, 3, distribution) for _ in range(2))
        other = task.make_inputs(FULL, 4, distribution)
        for name in first:
            assert torch.equal(first[name], again[name])
            assert not torch.equal(first[name], other[name])
    with pytest.raises(ValueError, match="no distribution"):
        task.make_inputs(FULL, 3, "lucky")


def outputs(seed=9):
    task = small_task()
    inputs = task.make_inputs(CAUSAL, seed, "normal")
    reference = task.reference(CAUSAL, inputs)["o"]
    return task, inputs, reference, reference.to(torch.bfloat16)


def test_one_wrong_row_is_found_and_named():
    task, _, reference, own = outputs()
    out = own.clone()
    out[0, 77, 3] *= 1.05
    found = judge("o", out, reference, own, task.tolerance)
    assert not found.ok
    assert "o[0, 77, 3," in found.detail
    assert "1 of 768 rows" in found.detail
    assert "batch 0" in found.detail or "every batch" in found.detail
    assert "seq 77" in found.detail
    assert "head 3" in found.detail


def test_what_was_never_written_is_counted():
    task, _, reference, own = outputs()
    out = own.clone()
    out.view(torch.int16)[0, 100:, 1] = POISON
    found = judge("o", out, reference, own, task.tolerance, POISON)
    assert math.isinf(found.error)
    assert f"{92 * 128} of {out.numel()} elements were never written" in found.detail


def test_a_needle_cannot_be_skipped():
    task = small_task()
    inputs = task.make_inputs(FULL, 21, "needle")
    reference = task.reference(FULL, inputs)["o"]
    p, v = weights(task, FULL, inputs)
    place = int(p[0, 0].sum(0).argmax())
    assert float(p[0, 0, :, place].sum() / p[0, 0].sum()) > 0.7
    p[0, 0, :, place] = 0
    own = reference.to(torch.bfloat16)
    assert not judge("o", answer(p, v, bf16), reference, own, task.tolerance).ok


def test_a_trace_of_the_future_is_found():
    task, inputs, _, own = outputs(seed=14)
    change = task.perturb(CAUSAL, inputs, 14)
    assert change is not None
    after = task.reference(CAUSAL, change.inputs)["o"].to(torch.bfloat16)
    honest = judging.Taken(CAUSAL, "normal", 14, {"o": own}, {"o": after})
    assert judging.judge_outputs(task, honest).ok
    rows = int(change.unaffected["o"].sum())
    leaking = after.clone()
    leaking.view(torch.int16)[0, rows - 1, 2, 5] ^= 1
    taken = judging.Taken(CAUSAL, "normal", 14, {"o": own}, {"o": leaking})
    found = judging.judge_outputs(task, taken)
    assert not found.ok
    assert "the future" in found.detail
    assert f"o[0, {rows - 1}, 2, 5]" in found.detail


def test_full_attention_has_nothing_to_perturb():
    task = small_task()
    assert task.perturb(FULL, task.make_inputs(FULL, 1, "normal"), 1) is None


def test_logits_beyond_the_range_of_exp_are_among_the_inputs():
    task = small_task()
    inputs = task.make_inputs(FULL, 2, "offset")
    q, k = (inputs[n].float().transpose(1, 2) for n in ("q", "k"))
    logits = (q @ k.transpose(-1, -2)) * SCALE
    assert logits.exp().isinf().any(dim=-1).float().mean() > 0.9
