"""Tasks made of references: their weights, their baseline, and where inputs are drawn."""

from pathlib import Path

import pytest
import torch

from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.references import task as references_task
from avo_tui.evaluation.references.adopting import adopt, wishes_for
from avo_tui.evaluation.references.source import Reference, ReferenceSample
from avo_tui.evaluation.references.spec import Sizes
from avo_tui.evaluation.references.task import CudaReference, ReferenceTask
from avo_tui.evaluation.sandbox.run import Sandbox
from tests.evaluation.references.examples import LINEAR, PAIR


def adopted(tmp_path: Path, text: str, language: str = "cpp", name: str = "mine") -> ReferenceTask:
    file = tmp_path / f"{name}.py"
    file.write_text(text)
    adopt(file, tmp_path / name, wishes_for(name, language, str(file)), Sandbox())
    task = load_task(tmp_path / name)
    assert isinstance(task, ReferenceTask)
    return task


NORM = """
import torch
from torch import nn

rows = 8
features = 48


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.scale = nn.Parameter(torch.ones(features))
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.norm(x) * self.scale * self.gain


def get_inputs():
    return [torch.randn(rows, features)]
"""


@pytest.mark.usefixtures("unconfined")
def test_a_kernel_cannot_leave_out_weights_that_a_module_begins_with_ones_and_zeros(
    tmp_path: Path,
) -> None:
    task = adopted(tmp_path, NORM)
    configuration = task.configurations[0]
    inputs, again, other = (task.make_inputs(configuration, seed, "normal") for seed in (1, 1, 2))
    honest = task.reference(configuration, inputs)["out"]
    torch.testing.assert_close(task.baselines()["torch"](configuration, inputs)["out"].double(),
                               honest, rtol=1e-4, atol=1e-4)  # fmt: skip
    for name in ("norm_weight", "norm_bias", "scale", "gain"):
        assert torch.equal(inputs[name], again[name])
        assert not torch.equal(inputs[name], other[name])
        neutral = {"norm_bias": 0.0, "gain": 2.0}.get(name, 1.0)
        without = {**inputs, name: torch.full_like(inputs[name], neutral)}
        lazy = task.reference(configuration, without)["out"]
        assert (lazy - honest).abs().max() > 0.05, name


@pytest.mark.usefixtures("unconfined")
def test_the_baseline_follows_the_weights_without_swapping_them_in_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = adopted(tmp_path, LINEAR)
    run, configuration = task.baselines()["torch"], task.configurations[0]
    monkeypatch.setattr(torch.func, "functional_call", None)  # would raise
    first, second = (task.make_inputs(configuration, seed, "normal") for seed in (1, 2))
    outputs = [run(configuration, inputs)["out"] for inputs in (first, second, first)]
    assert torch.equal(outputs[0], outputs[2]) and not torch.equal(outputs[0], outputs[1])
    monkeypatch.undo()
    for inputs, output in zip((first, second), outputs, strict=False):
        torch.testing.assert_close(output, task.reference(configuration, inputs)["out"].float())
    first["linear_weight"].zero_()  # the same tensor with other numbers counts too
    first["linear_bias"].fill_(1.0)
    own = run(configuration, first)["out"]
    torch.testing.assert_close(own, task.reference(configuration, first)["out"].float())


@pytest.mark.usefixtures("unconfined")
def test_large_inputs_are_drawn_on_the_device_that_they_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = adopted(tmp_path, LINEAR, "cuda")
    assert isinstance(task, CudaReference)
    devices: list[str] = []
    draw = type(task.loaded).draw

    def watched(self: Reference, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        devices.append(device)
        return draw(self, sizes, seed, device)

    monkeypatch.setattr(type(task.loaded), "draw", watched)
    configuration = task.configurations[0]
    inputs = {
        spec.name: torch.empty(spec.shape, device="meta")
        for spec in task.tensors(configuration)
        if not spec.output
    }
    task.fill(configuration, 3, "outliers", inputs)
    monkeypatch.setattr(references_task, "ON_THE_DEVICE", 0)
    task.fill(configuration, 3, "outliers", inputs)
    assert devices == ["cpu", "meta"]


@pytest.mark.gpu
@pytest.mark.parametrize("text", [LINEAR, PAIR.replace("rows: int", "rows: int = 64")])
def test_the_gpu_draws_large_inputs_the_same_for_the_same_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU that torch sees")
    monkeypatch.setattr(references_task, "ON_THE_DEVICE", 0)
    task = adopted(tmp_path, text, "cuda")
    configuration = task.configurations[0]
    one, again, other = (task.make_inputs(configuration, seed, "normal") for seed in (1, 1, 2))
    assert all(tensor.is_cuda for tensor in one.values())
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    own = task.own(configuration, one)["out"]
    exact = task.reference(configuration, one)["out"]
    torch.testing.assert_close(own.double(), exact.double(), rtol=1e-3, atol=1e-3)
