"""Derived tasks: mistakes that pass for right on plain noise of the scored sizes are found."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.measurement.judge import judge
from avo_tui.evaluation.pool import fresh_seed, make_expected
from avo_tui.evaluation.references.adopting import adopt, wishes_for
from avo_tui.evaluation.references.distributions import families
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

Kernel = Callable[[torch.Tensor], torch.Tensor]
ROWS, COLUMNS = 24, 4096
MODEL = f"""
import torch
rows, columns = {ROWS}, {COLUMNS}
class Model(torch.nn.Module):
    def forward(self, x):
        return BODY
def get_inputs():
    return [torch.randn(rows, columns)]
def get_init_inputs():
    return []
"""


def one_pass(x: torch.Tensor) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = x.square().mean(-1, keepdim=True) - mean.square()
    return (x - mean) * (variance + 1e-5).rsqrt()


def naive(x: torch.Tensor) -> torch.Tensor:
    return x.exp() / x.exp().sum(-1, keepdim=True)


def of_some(x: torch.Tensor) -> torch.Tensor:
    powers = (x - x[..., ::2].amax(-1, keepdim=True)).clamp(max=80.0).exp()
    return powers / powers.sum(-1, keepdim=True)


def in_parts(work: Kernel) -> Kernel:
    """The work on each 4,096 columns alone."""
    return lambda x: torch.cat([work(part) for part in x.split(COLUMNS, -1)], -1)


def above(limit: int) -> Kernel:
    """Cumulative sums that lose a part from there on."""
    return lambda x: torch.cat([x[..., :limit].cumsum(-1), x[..., limit:].cumsum(-1)], -1)


def online(x: torch.Tensor) -> torch.Tensor:
    """A softmax whose maximum and sum are kept tile by tile; −∞ minus −∞ is NaN."""
    m, total = torch.full(x.shape[:-1], -torch.inf), torch.zeros(x.shape[:-1])
    for tile in x.split(64, -1):
        new = torch.maximum(m, tile.amax(-1))
        total = total * (m - new).exp() + (tile - new[..., None]).exp().sum(-1)
        m = new
    return (x - m[..., None]).exp() / total[..., None]


def last_of_ties(x: torch.Tensor) -> torch.Tensor:
    return x.shape[-1] - 1 - x.flip(-1).argmax(-1)


def from_minus_100(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.amax(-1) > -100, x.argmax(-1), 0)


def capped(x: torch.Tensor) -> torch.Tensor:
    return x * (x.square().clamp(max=100.0).mean(-1, keepdim=True) + 1e-6).rsqrt()


def overflowing_mish(x: torch.Tensor) -> torch.Tensor:
    power = x.clamp(max=40.0).exp()
    above = power * (power + 2.0)
    return x * above / (above + 2.0)  # the product overflows where x is above 6,800


def when_large(shortcut: Kernel, honest: Kernel) -> Kernel:
    """The shortcut at the largest scored size alone."""
    return lambda x: shortcut(x) if x.shape == (ROWS, COLUMNS) else honest(x)


LIBRARY: dict[str, tuple[str, dict[str, Kernel]]] = {
    "torch.softmax(x, -1)": ("softmax", {
        "without its maximum": naive,
        "the maximum of some": of_some,
        "above the scored size": in_parts(lambda x: x.softmax(-1)),
        "tiles without a guard": online,
        "without its maximum when large": when_large(naive, lambda x: x.softmax(-1)),
    }),
    "torch.nn.functional.layer_norm(x, x.shape[-1:])": (
        "normalisation", {
            "one-pass variance": one_pass,
            "one-pass variance when large": when_large(
                one_pass, lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:])
            ),
        },
    ),
    "x.cumsum(-1)": ("scan", {
        "starts again": in_parts(lambda x: x.cumsum(-1)), "starts again far above": above(6000),
    }),
    "torch.nn.functional.mish(x)": ("", {"overflows": overflowing_mish}),
    "x.argmax(-1)": ("comparison", {"the last of ties": last_of_ties, "from -100": from_minus_100}),
    "torch.nn.functional.normalize(x, dim=-1)": (
        "normalisation", {"without eps": lambda x: x / x.square().sum(-1, keepdim=True).sqrt()},
    ),
    "x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()": (
        "normalisation", {"squares capped": capped},
    ),
    "torch.relu(x)": (
        "comparison", {"loses NaN": lambda x: torch.where(x > 0, x, torch.zeros_like(x))},
    ),
}  # fmt: skip


def refused(task: Task, kernels: dict[str, Kernel]) -> set[str]:
    """The kernels that the check refuses on one of its cases at least."""
    wrong = set()
    for case in task.check_cases():
        inputs = task.make_inputs(case.configuration, fresh_seed(), case.distribution)
        ((name, expected),) = make_expected(task, case.configuration, inputs).items()
        for told, kernel in kernels.items():
            if told not in wrong and not judge(name, kernel(inputs["x"]), expected).ok:
                wrong.add(told)
    return wrong


@pytest.mark.parametrize("body", LIBRARY)
def test_a_mistake_is_found_and_the_library_is_right(
    body: str, tmp_path: Path, unconfined: None
) -> None:
    family, mistakes = LIBRARY[body]
    file = tmp_path / "model.py"
    file.write_text(MODEL.replace("BODY", body))
    adopt(file, tmp_path / "mine", wishes_for("mine", "cpp", str(file)), Sandbox())
    task = load_task(tmp_path / "mine")
    assert family in (*task.families, "")
    kernels = {"library": lambda x: eval(body, {"torch": torch, "x": x}), **mistakes}
    assert refused(task, kernels) == set(mistakes)


def test_operations_are_sorted_into_families() -> None:
    assert families({"_softmax", "mm"}) == ("softmax", "product")
    assert families({"add", "mul", "view"}) == ()
    assert families({"native_layer_norm", "cumsum"}) == ("normalisation", "scan")
