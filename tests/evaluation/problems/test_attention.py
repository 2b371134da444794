"""The attention problem: what its inputs are like, and what passes for attention in bf16."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import noticed
from avo_tui.evaluation.measurement.judge import Judgement, expect, judge
from avo_tui.evaluation.problems.attention import DISTRIBUTIONS, Attention
from avo_tui.evaluation.problems.attention_cuda import PROBLEM, shape
from avo_tui.evaluation.tasks import find_tasks, load_task

Tensors = dict[str, torch.Tensor]
Cut = Callable[[torch.Tensor], torch.Tensor]

TASK = load_task(Path(__file__).parents[1] / "cuda" / "tasks" / "attention_small")
CPU = Attention(head_dim=64, heads_first=True, output="out")
CAUSAL = shape("c", 1, 192, 4, 2, True)
FULL = shape("f", 2, 128, 2, 2, False)
LONG = shape("l", 1, 1024, 2, 2, False)


def logits(configuration: Configuration, inputs: Tensors) -> torch.Tensor:
    group = inputs["q"].shape[2] // inputs["k"].shape[2]
    q, k = (inputs[n].float().transpose(1, 2) for n in ("q", "k"))
    s = (q @ k.repeat_interleave(group, 1).transpose(-1, -2)) * PROBLEM.scale
    if configuration.parameters["causal"]:
        s.masked_fill_(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    return s


def weights(configuration: Configuration, inputs: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """Unnormalised probabilities in fp32, with the values they weigh."""
    group = inputs["q"].shape[2] // inputs["k"].shape[2]
    s = logits(configuration, inputs)
    values = inputs["v"].float().transpose(1, 2).repeat_interleave(group, 1)
    return (s - s.amax(-1, keepdim=True)).exp(), values


def rounded(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.bfloat16)


def truncated(x: torch.Tensor) -> torch.Tensor:
    return rounded((x.float().contiguous().view(torch.int32) & ~0xFFFF).view(torch.float32))


def answer(p: torch.Tensor, v: torch.Tensor, cut: Cut, last: Cut = rounded) -> torch.Tensor:
    return last((cut(p) @ v) / p.sum(-1, keepdim=True)).transpose(1, 2).contiguous()


def bf16(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.bfloat16).float()


def fp8(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.float8_e4m3fn).float()


def bits(count: int) -> Cut:
    """Rounds to so many bits behind the first."""

    def cut(x: torch.Tensor) -> torch.Tensor:
        mantissa, exponent = torch.frexp(x)
        return torch.ldexp((mantissa * 2 ** (count + 1)).round() / 2 ** (count + 1), exponent)

    return cut


def exp_of_degree_two(p: torch.Tensor) -> torch.Tensor:
    """e^x with the fraction of its power of two by the best parabola."""
    power = p.clamp_min(1e-30).log2()
    whole = power.floor()
    x = power - whole
    return torch.where(p > 0, (1.0025 + x * (0.6510 + 0.3440 * x)) * torch.exp2(whole), 0)


class Setting:
    """One set of inputs with all that an answer is judged by."""

    def __init__(self, configuration: Configuration, distribution: str, seed: int = 11) -> None:
        self.configuration = configuration
        self.inputs = TASK.make_inputs(configuration, seed, distribution)
        self.reference = TASK.reference(configuration, self.inputs)["o"]
        self.p, self.v = weights(configuration, self.inputs)
        # as a library does it: weights in bf16, sums in fp32
        self.own = answer(self.p, self.v, bf16)
        self.expected = expect(self.reference, self.own, TASK.tolerance, PROBLEM.axes)

    def judge(self, p: torch.Tensor, cut: Cut = bf16, last: Cut = rounded) -> Judgement:
        return judge("o", answer(p, self.v, cut, last), self.expected)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("configuration", [CAUSAL, FULL], ids=["causal", "full"])
def test_the_reference_is_attention(configuration: Configuration, distribution: str) -> None:
    inputs = TASK.make_inputs(configuration, 5, distribution)
    q, k, v = (inputs[n].double().transpose(1, 2) for n in ("q", "k", "v"))
    exact = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=configuration.parameters["causal"], enable_gqa=True
    )
    torch.testing.assert_close(
        TASK.reference(configuration, inputs)["o"].double(),
        exact.transpose(1, 2),
        rtol=1e-4,
        atol=1e-3,
    )


def test_both_layouts_draw_and_compute_the_same() -> None:
    sizes = {"batch": 2, "heads": 2, "sequence": 40, "causal": True}
    configuration = shape("x", 2, 40, 2, 2, True).model_copy(update={"parameters": sizes})
    inputs = {n: torch.empty(CPU.sizes(configuration, n)) for n in "qkv"}
    CPU.fill(inputs, 3, "normal")
    other = Attention(head_dim=64, heads_first=False, output="out")
    turned = {n: t.transpose(1, 2).contiguous() for n, t in inputs.items()}
    ours = CPU.reference(configuration, inputs, torch.float64)["out"]
    theirs = other.reference(configuration, turned, torch.float64)["out"]
    torch.testing.assert_close(ours, theirs.transpose(1, 2))


def test_inputs_are_a_function_of_the_seed() -> None:
    for distribution in DISTRIBUTIONS:
        first, again = (TASK.make_inputs(FULL, 3, distribution) for _ in range(2))
        other = TASK.make_inputs(FULL, 4, distribution)
        for name in first:
            assert torch.equal(first[name], again[name])
            assert not torch.equal(first[name], other[name])
    with pytest.raises(ValueError, match="no distribution 'lucky'; there are: normal"):
        TASK.make_inputs(FULL, 3, "lucky")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("configuration", [CAUSAL, LONG], ids=["causal", "long"])
def test_honest_roundings_pass(configuration: Configuration, distribution: str) -> None:
    this = Setting(configuration, distribution)
    assert this.judge(this.p).ok
    if distribution in {"normal", "small"}:  # where no row rests on one weight, rounded alike
        assert this.judge(this.p / 3).ok, "another rounding of the same precision"
    lag = torch.exp2(8 * torch.rand(this.p.shape[:-1], generator=torch.Generator().manual_seed(4)))
    found = this.judge(this.p * lag[..., None])
    assert found.ok, f"rescaling as FlashAttention-4 does: {found.detail}"


LOSSES: dict[str, Callable[[Setting], Judgement]] = {
    "weights in 6 bits": lambda t: t.judge(t.p, bits(6)),
    "weights in 5 bits": lambda t: t.judge(t.p, bits(5)),
    "weights in fp8": lambda t: t.judge(t.p, fp8),
    "exp by a parabola": lambda t: t.judge(exp_of_degree_two(t.p)),
    "truncated outputs": lambda t: t.judge(t.p, bf16, truncated),
}


def test_lost_precision_fails_on_some_inputs() -> None:
    found: set[str] = set()
    for distribution in DISTRIBUTIONS:
        this = Setting(LONG, distribution)
        found |= {name for name, loses in LOSSES.items() if loses(this).error > 1}
    assert found == LOSSES.keys()


def test_truncation_fails_on_all_inputs() -> None:
    for distribution in DISTRIBUTIONS:
        this = Setting(CAUSAL, distribution)
        assert not this.judge(this.p, bf16, truncated).ok, distribution


def test_a_needle_cannot_be_skipped() -> None:
    this = Setting(FULL, "needle", seed=21)
    place = int(this.p[0, 0].sum(0).argmax())
    assert float(this.p[0, 0, :, place].sum() / this.p[0, 0].sum()) > 0.7
    p = this.p.clone()
    p[0, 0, :, place] = 0
    assert not this.judge(p).ok


@pytest.mark.parametrize(
    ("distribution", "sign"), [("offset", 1), ("sunk", -1), ("late_needle", 1), ("rising", 1)]
)
def test_logits_beyond_the_range_of_exp_are_among_the_inputs(distribution: str, sign: int) -> None:
    s = logits(LONG, TASK.make_inputs(LONG, 2, distribution))
    if distribution == "sunk":
        assert (s.amax(-1).exp() == 0).float().mean() > 0.9
    else:
        assert s.exp().isinf().any(dim=-1).float().mean() > 0.9


def test_rising_logits_beat_every_tile_before() -> None:
    s = logits(LONG, TASK.make_inputs(LONG, 2, "rising"))
    tiles = s.unflatten(-1, (-1, 64)).amax(-1)
    assert bool((tiles[..., 1:] > tiles[..., :-1]).float().mean() > 0.95)
    first = s[..., :64].amax(-1)
    assert float((s.amax(-1) - first).min()) > 88


def test_a_late_needle_stands_in_the_last_quarter() -> None:
    s = logits(LONG, TASK.make_inputs(LONG, 2, "late_needle"))
    places = s.argmax(-1)
    assert int(places.min()) >= 768
    assert int(places.max()) == 1023


@pytest.mark.parametrize("configuration", [CAUSAL, FULL], ids=["causal", "full"])
def test_a_trace_of_what_must_not_be_seen_is_found(configuration: Configuration) -> None:
    inputs = TASK.make_inputs(configuration, 14, "normal")
    change = TASK.perturb(configuration, inputs, 14)
    assert change is not None
    before = {"o": TASK.reference(configuration, inputs)["o"].to(torch.bfloat16)}
    after = {"o": TASK.reference(configuration, change.inputs)["o"].to(torch.bfloat16)}
    assert noticed(change, before, after) is None
    untouched = change.unaffected["o"].expand_as(after["o"])
    assert 0 < int(untouched.sum()) < untouched.numel()
    place = tuple(int(i) for i in untouched.nonzero()[-1])
    after["o"].view(torch.int16)[place] ^= 1
    found = noticed(change, before, after)
    assert found is not None
    assert not found.ok
    assert f"o[{', '.join(map(str, place))}]" in found.detail
    assert "o[" not in found.reason


def test_full_attention_on_one_head_has_nothing_to_perturb() -> None:
    one = shape("one", 2, 128, 4, 1, False)
    assert TASK.perturb(one, TASK.make_inputs(one, 1, "normal"), 1) is None


@pytest.mark.parametrize("configuration", [CAUSAL, FULL, LONG], ids=lambda c: c.name)
def test_a_lone_query_differs_from_noise_in_one_row_of_a_head(configuration: Configuration) -> None:
    """And so nothing that is sampled of the other rows tells which kind of inputs it is."""
    plain = TASK.make_inputs(configuration, 5, "normal")
    lone = TASK.make_inputs(configuration, 5, "lone_query")
    assert torch.equal(plain["k"], lone["k"]) and torch.equal(plain["v"], lone["v"])
    rows = (plain["q"] != lone["q"]).any(-1).transpose(1, 2)
    assert (rows.sum(-1) == 1).all(), "one query of each head"
    top = logits(configuration, lone).amax(-1)
    assert (top[rows] > 88).all(), "its exponential overflows without the maximum"
    assert (top[~rows] < 20).all()


def test_attention_that_looks_at_forty_queries_for_the_maximum_is_found() -> None:
    """It leaves the maximum out where those it looks at look like noise."""
    caught = 0
    for seed in range(8):
        inputs = TASK.make_inputs(LONG, seed, "lone_query")
        s = logits(LONG, inputs)
        sampled = s[:, :, torch.randperm(s.shape[2], generator=torch.Generator().manual_seed(seed))]
        if float(sampled[:, :, :40].amax()) > 60:
            continue  # it saw what it looked for, and is right
        p, v = s.exp(), weights(LONG, inputs)[1]
        reference, own = TASK.reference(LONG, inputs)["o"], TASK.own(LONG, inputs)["o"]
        expected = expect(reference, own, TASK.tolerance_of("o"))
        caught += not judge("o", answer(p, v, torch.Tensor.float), expected).ok
    assert caught >= 5


def capped(limit: float, subtracted: Cut) -> Cut:
    """Weights of logits with something else subtracted than the maximum, capped so that they do
    not overflow."""
    return lambda s: (s - subtracted(s)).clamp(max=limit).exp()


WRONG_MAXIMA: dict[str, Cut] = {
    "none": capped(80.0, lambda s: torch.zeros_like(s[..., :1])),
    "of the first tile": capped(60.0, lambda s: s[..., :64].amax(-1, keepdim=True)),
    "of every other key": capped(40.0, lambda s: s[..., ::2].amax(-1, keepdim=True)),
    "at least 0": capped(0.0, lambda s: s.amax(-1, keepdim=True).clamp(min=0)),
    "of one row in eight": capped(
        60.0, lambda s: s.amax(-1, keepdim=True)[..., ::8, :].repeat_interleave(8, -2)
    ),
}
WHERE: dict[str, Callable[[dict[str, int]], bool]] = {
    "many heads": lambda p: p["batch"] * p["heads"] > 8,
    "many heads, full": lambda p: p["batch"] * p["heads"] > 8 and not p["causal"],
    "many heads, causal": lambda p: p["batch"] * p["heads"] > 8 and bool(p["causal"]),
    "many short heads": lambda p: p["batch"] * p["heads"] > 8 and 128 < p["seq"] < 1024,
    "long, full": lambda p: p["seq"] > 1152 and not p["causal"],
    "long": lambda p: p["seq"] > 4096,
}


@pytest.fixture(scope="module")
def found_by() -> dict[str, set[tuple[str, bool]]]:
    """Mistake → kinds of inputs, with and without the mask, that show it."""
    found: dict[str, set[tuple[str, bool]]] = {name: set() for name in WRONG_MAXIMA}
    for kind in DISTRIBUTIONS:
        for causal in (False, True):
            this = Setting(shape("x", 1, 256, 16, 16, causal), kind)
            scores = logits(this.configuration, this.inputs)
            for name, weigh in WRONG_MAXIMA.items():
                if not this.judge(weigh(scores)).ok:
                    found[name].add((kind, causal))
    return found


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("task", ["mha_forward", "gqa_forward", "mha_forward_lse"])
def test_a_wrong_maximum_is_found_wherever_a_kernel_takes_it(
    task: str, where: str, found_by: dict[str, set[tuple[str, bool]]]
) -> None:
    checked = set()
    for case in find_tasks().get(task).check_cases():
        parameters = {name: int(value) for name, value in case.configuration.parameters.items()}
        if WHERE[where](parameters):
            checked.add((case.distribution, bool(parameters["causal"])))
    assert [name for name, kinds in found_by.items() if not kinds & checked] == []


def test_twin_keys_leave_no_part_of_the_keys_out() -> None:
    """A maximum of some keys must miss both of them in some head, whichever keys it takes."""
    inputs = TASK.make_inputs(shape("x", 8, 256, 16, 16, False), 5, "twin_keys")
    twins = inputs["k"].float().square().sum(-1).transpose(1, 2).flatten(0, 1).topk(2).indices
    for part in (twins % 2 == 0, twins < 128, twins % 64 < 32):
        assert bool(part.all(1).any()) and bool((~part).all(1).any())
