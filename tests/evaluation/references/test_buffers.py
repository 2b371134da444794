"""A module that writes to its own buffers is a function of its inputs all the same."""

import torch

from avo_tui.evaluation.references.deriving import Wishes, derive
from avo_tui.evaluation.references.distributions import DISTRIBUTIONS
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.source import ReferenceSample

MODEL = """\
import torch

batch = 6


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(5))
        self.register_buffer("fixed", torch.arange(5.0))
        self.scale = torch.nn.Parameter(torch.ones(5))

    def forward(self, x):
        self.mean.mul_(0.5).add_(x.mean(0))
        y = (x - self.mean + self.fixed) * self.scale
        return y, y.argmax(-1)


def get_inputs():
    return [torch.randn(batch, 5)]


def get_init_inputs():
    return []
"""


def drawn() -> tuple[ReferenceSample, dict[str, torch.Tensor]]:
    sample = read(MODEL, "model.py").draw({}, 3, "cpu")
    return sample, {**sample.inputs, **sample.weights}


def test_a_buffer_that_is_written_to_is_told_and_its_kernel_given_the_value_before() -> None:
    spec = derive(read(MODEL, "model.py"), Wishes("mine", "cpp", "model.py"))
    assert {t.name for t in spec.of_role("weight")} == {"mean", "fixed", "scale"}
    (remark,) = spec.remarks
    assert remark.startswith("the module writes to its buffer mean: a kernel is given its value")
    assert set(spec.distributions) == set(DISTRIBUTIONS) - {"not_finite", "masked"}, (
        "no kind is lost by a state that drifts"
    )


def test_each_call_gives_the_same_and_leaves_its_arguments() -> None:
    sample, tensors = drawn()
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    runs = [sample.outputs(tensors) for _ in range(3)]
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors.items())
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in runs[0])
    expected = before["x"] - 0.5 * before["mean"] - before["x"].mean(0) + before["fixed"]
    assert torch.allclose(runs[0]["out0"], expected)


def test_so_it_does_with_weights_that_were_placed_as_before_a_timed_call() -> None:
    sample, tensors = drawn()
    wanted = sample.outputs(tensors)
    tensors["mean"] += 1.0
    other = sample.outputs(tensors)
    assert not torch.equal(other["out0"], wanted["out0"])
    inputs = sample.placed(tensors)
    for _ in range(3):
        assert torch.equal(sample.outputs(inputs)["out0"], other["out0"])
    assert torch.equal(tensors["mean"], torch.ones(5))
