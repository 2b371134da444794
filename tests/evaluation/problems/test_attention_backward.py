"""The backward pass of attention: its reference, what passes for it in bf16, and what does not."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import noticed
from avo_tui.evaluation.measurement.judge import expect, judge
from avo_tui.evaluation.problems.attention import DISTRIBUTIONS
from avo_tui.evaluation.problems.attention_backward import APART, GRADIENTS, forward, gradients
from avo_tui.evaluation.problems.attention_cuda import shape
from avo_tui.evaluation.tasks import load_task

Tensors = dict[str, torch.Tensor]

TASK = load_task(Path(__file__).parents[3] / "kernels" / "attention_backward")
CAUSAL = shape("c", 1, 129, 4, 2, True)
FULL = shape("f", 2, 96, 2, 2, False)
ONE = shape("o", 3, 1, 2, 1, True)


def by_autograd(configuration: Configuration, inputs: Tensors) -> Tensors:
    """Of attention in fp64, as torch derives it."""
    leaves = {n: inputs[n].double().requires_grad_() for n in ("q", "k", "v")}
    q, k, v = (t.transpose(1, 2) for t in leaves.values())
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=bool(configuration.parameters["causal"]), enable_gqa=True
    )
    out.transpose(1, 2).backward(inputs["do"].double())
    return {name: torch.as_tensor(leaves[of].grad) for name, of in GRADIENTS.items()}


def exactly_forward(configuration: Configuration, inputs: Tensors) -> Tensors:
    """The inputs with an O and a log-sum-exp that are not rounded."""
    q, k, v = (inputs[n].double().transpose(1, 2) for n in ("q", "k", "v"))
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    v = v.repeat_interleave(q.shape[1] // v.shape[1], 1)
    scores = q @ k.transpose(-1, -2) / math.sqrt(128)
    if configuration.parameters["causal"]:
        scores.masked_fill_(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    out = (scores.softmax(-1) @ v).transpose(1, 2)
    return inputs | {"o": out, "lse": torch.logsumexp(scores, -1)}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("configuration", [CAUSAL, FULL, ONE], ids=["causal", "full", "one"])
def test_the_reference_is_the_gradient(configuration: Configuration, distribution: str) -> None:
    inputs = TASK.make_inputs(configuration, 5, distribution)
    ours = TASK.reference(configuration, exactly_forward(configuration, inputs))
    for name, theirs in by_autograd(configuration, inputs).items():
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours[name], theirs, rtol=1e-9, atol=1e-9 * scale + 1e-9)


@pytest.mark.parametrize("configuration", [CAUSAL, FULL], ids=["causal", "full"])
def test_the_forward_pass_is_the_one_of_the_inputs(configuration: Configuration) -> None:
    inputs = TASK.make_inputs(configuration, 5, "normal")
    exact = exactly_forward(configuration, inputs)
    torch.testing.assert_close(inputs["lse"].double(), exact["lse"], rtol=1e-5, atol=1e-5)
    off = (inputs["o"].double() - exact["o"]).abs() / exact["o"].abs().clamp_min(1e-2)
    assert 0.5 * APART < float(off.mean()) < 1.5 * APART
    again = {n: t.clone() for n, t in inputs.items()}
    forward(configuration, again)
    assert all(torch.equal(again[n], inputs[n]) for n in inputs)


def verdict(configuration: Configuration, distribution: str, answer: Tensors) -> dict[str, bool]:
    inputs = TASK.make_inputs(configuration, 7, distribution)
    reference, own = TASK.reference(configuration, inputs), TASK.own(configuration, inputs)
    return {
        n: judge(n, answer[n], expect(reference[n], own[n], TASK.tolerance_of(n), TASK.axes[n])).ok
        for n in GRADIENTS
    }


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_reference_rounded_to_bf16_passes(distribution: str) -> None:
    inputs = TASK.make_inputs(CAUSAL, 7, distribution)
    rounded = {n: t.bfloat16() for n, t in TASK.reference(CAUSAL, inputs).items()}
    assert all(verdict(CAUSAL, distribution, rounded).values())


def without_sums(configuration: Configuration, inputs: Tensors) -> Tensors:
    return gradients(configuration, inputs | {"o": torch.zeros_like(inputs["o"])}, exact=True)


def one_query_left_out(configuration: Configuration, inputs: Tensors) -> Tensors:
    changed = {n: t.clone() for n, t in inputs.items()}
    changed["do"][:, 64] = 0
    return gradients(configuration, changed, exact=True)


def mask_off_by_one(configuration: Configuration, inputs: Tensors) -> Tensors:
    exact = gradients(configuration, inputs, exact=True)
    loose = configuration.model_copy(
        update={"parameters": dict(configuration.parameters) | {"causal": False}}
    )
    full = gradients(loose, inputs, exact=True)
    return {n: torch.where(torch.rand(t.shape) < 0.01, full[n], t) for n, t in exact.items()}


def in_fp8(configuration: Configuration, inputs: Tensors) -> Tensors:
    rounded = {
        n: t.to(torch.float8_e4m3fn).to(t.dtype) if n in {"do", "v"} else t
        for n, t in inputs.items()
    }
    return gradients(configuration, rounded, exact=True)


def not_scaled(configuration: Configuration, inputs: Tensors) -> Tensors:
    exact = gradients(configuration, inputs, exact=True)
    return exact | {"dq": exact["dq"] * math.sqrt(128)}


@pytest.mark.parametrize(
    "mistake", [without_sums, one_query_left_out, mask_off_by_one, in_fp8, not_scaled]
)
def test_a_mistake_is_refused(mistake: Callable[[Configuration, Tensors], Tensors]) -> None:
    inputs = TASK.make_inputs(CAUSAL, 7, "normal")
    wrong = {n: t.bfloat16() for n, t in mistake(CAUSAL, inputs).items()}
    assert not all(verdict(CAUSAL, "normal", wrong).values())


@pytest.mark.parametrize("seed", [4, 5, 6, 7])
@pytest.mark.parametrize("configuration", [CAUSAL, FULL], ids=["causal", "full"])
def test_what_is_perturbed_leaves_the_rest_alone(configuration: Configuration, seed: int) -> None:
    inputs = TASK.make_inputs(configuration, 3, "normal")
    change = TASK.perturb(configuration, inputs, seed)
    if change is None:
        assert seed % 2, "heads of full attention can always be told apart"
        assert configuration is FULL
        return
    before = TASK.reference(configuration, inputs)
    after = TASK.reference(configuration, change.inputs)
    assert noticed(change, before, after) is None
    assert any(not torch.equal(before[n], after[n]) for n in GRADIENTS)
    assert set(change.unaffected) <= set(GRADIENTS)


def test_inputs_are_a_function_of_the_seed() -> None:
    first, again, other = (TASK.make_inputs(FULL, seed, "outliers") for seed in (3, 3, 4))
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
