"""Outputs that jump are found, and judged where the reference is sure."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest
import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.judge import judge
from avo_tui.evaluation.measurement.near_ties import NearTies, jumping, moved
from avo_tui.evaluation.pool import make_expected
from avo_tui.evaluation.task import CheckCase, Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline

Tensors = dict[str, torch.Tensor]

REFERENCES: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], bool]] = {
    "top-k, where": (lambda x: x.topk(3, dim=-1).indices, True),
    "top-k, values": (lambda x: x.topk(3, dim=-1).values, False),
    "argmax": (lambda x: x.argmax(-1), True),
    "sort": (lambda x: x.sort(-1).values, False),
    "comparison": (lambda x: x > 0, True),
    "rounded": (lambda x: (4 * x).round(), True),
    "chosen row": (lambda x: x[x[:, 0].argmax()].clone(), True),
    "relu": (lambda x: x.clamp_min(0), False),
    "softmax": (lambda x: x.softmax(-1), False),
    "steep": (lambda x: torch.tanh(50 * x), False),
    "leaky": (lambda x: torch.where(x > 0, x, 0.1 * x), False),
    "gated": (lambda x: torch.where(x > 0.5, x, 0 * x), True),
}


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", REFERENCES)
def test_an_output_that_jumps_is_found(name: str) -> None:
    work, jumps = REFERENCES[name]
    found = jumping(
        lambda tensors: {"out": work(tensors["x"])}, {"x": draw(1, 9, 40)}, {"x": draw(2, 9, 40)}
    )
    assert found == (("out",) if jumps else ())


def test_whole_numbers_of_whole_numbers_do_not_jump() -> None:
    one, other = torch.arange(6), torch.arange(6) * 2
    assert jumping(lambda t: {"out": t["x"].cumsum(0)}, {"x": one}, {"x": other}) == ()


def test_a_move_keeps_equal_numbers_equal_and_zero_zero() -> None:
    x = torch.tensor([1.5, 0.0, 1.5, -2.0, 1.5])
    for sign in (1.0, -1.0):
        after = moved({"x": x, "n": torch.tensor([3])}, 4, sign)
        assert after["x"][1] == 0 and after["n"].tolist() == [3]
        assert after["x"][0] == after["x"][2] == after["x"][4] != x[0]
        assert (after["x"] - x).abs().max() < 1e-4


def products(tensors: Tensors) -> Tensors:
    """Which of the columns of `x @ w` is the largest, in each row."""
    return {"out": (tensors["x"].double() @ tensors["w"].double()).argmax(-1)}


def near_tie() -> Tensors:
    """Rows of which the second has two products that differ by less than rounding."""
    x, w = draw(3, 4, 64), draw(4, 64, 8)
    best = (x[1].double() @ w.double()).argmax()
    other = (best + 1) % 8
    w[:, other] = w[:, best]
    w[0, other] = torch.nextafter(w[0, best], torch.tensor(torch.inf))
    return {"x": x, "w": w}


def test_a_near_tie_is_unsure_and_the_rest_is_sure() -> None:
    inputs = near_tie()
    reference = products(inputs)
    mask = NearTies(products, inputs, reference).unsure("out", None)
    assert mask is not None and bool(mask[1])
    sure = products({"x": draw(3, 4, 64), "w": draw(4, 64, 8)})
    plain = {"x": draw(3, 4, 64), "w": draw(4, 64, 8)}
    assert NearTies(products, plain, sure).unsure("out", None) is None


class Chooser(Task):
    """Which column of a product is the largest; whole numbers."""

    reference_baseline = "torch"

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return (Configuration(name="one", parameters={}),)

    def check_cases(self) -> tuple[CheckCase, ...]:
        return ()

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        return near_tie()

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        return {"out": ((4,), "int64")}

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        return products(inputs)

    def baselines(self) -> "Mapping[str, Baseline]":
        return {"torch": lambda _, inputs: {"out": (inputs["x"] @ inputs["w"]).argmax(-1)}}

    def flops(self, configuration: Configuration) -> float:
        return 4096.0


def test_a_flip_at_a_near_tie_passes_and_a_wrong_choice_does_not() -> None:
    task: Task = Chooser()
    inputs = near_tie()
    expected = make_expected(task, task.configurations[0], inputs)["out"]
    right = expected.reference.clone()
    flipped, wrong = right.clone(), right.clone()
    flipped[1] = (right[1] + 1) % 8
    wrong[2] = (right[2] + 1) % 8
    assert judge("out", right, expected).ok
    assert judge("out", flipped, expected).ok
    refused = judge("out", wrong, expected)
    assert not refused.ok and "out[2]" in refused.detail


def test_an_output_that_is_unsure_almost_everywhere_is_judged_as_it_is() -> None:
    """Else nothing would be judged: here each choice is between two columns that are alike."""
    inputs = {"x": draw(5, 4, 64), "w": draw(6, 64, 1).repeat(1, 2)}
    inputs["w"][:, 1] *= 1 + 1e-6
    assert NearTies(products, inputs, products(inputs)).unsure("out", None) is None
