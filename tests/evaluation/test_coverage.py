"""What `avo task check` says of a task that lacks something."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from typer.testing import CliRunner

from avo_tui.cli.main import app
from avo_tui.domain.task import Configuration
from avo_tui.evaluation import case_coverage
from avo_tui.evaluation.task import CheckCase, Task, Tolerance

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline, Tensors


class Copy(Task):
    """y = x, checked as badly as can be."""

    name, title, language, description = "copy", "Copy", "cpp", "y = x"
    unit = "GB/s"
    reference_baseline, baseline_names = "torch", ("torch",)
    tolerance = Tolerance(factor=2, floor=0.5, rms_factor=100, rms_floor=1)
    folder = Path()

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return (Configuration(name="big", parameters={"n": 128}),)

    def check_cases(self) -> tuple[CheckCase, ...]:
        return tuple(
            CheckCase(Configuration(name=f"n{n}", parameters={"n": n}), "normal") for n in (64, 128)
        )

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        generator = torch.Generator().manual_seed(seed)
        return {"x": torch.randn(8, int(configuration.parameters["n"]), generator=generator)}

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        return {"y": ((8, int(configuration.parameters["n"])), "float32")}

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        return {"y": inputs["x"].double()}

    def baselines(self) -> dict[str, Baseline]:
        return {"torch": lambda configuration, inputs: {"y": inputs["x"].clone()}}

    def flops(self, configuration: Configuration) -> float:
        return 0.0


def test_everything_that_is_missing_is_said() -> None:
    told = "\n".join(case_coverage.gaps(Copy()))
    for part in (
        "No case is hidden",
        "No case is run twice",
        "No case is perturbed",
        "1 distribution(s) only: normal",
        "All timed inputs are normally distributed",
        "Scored but never checked: big",
        "Every n is a multiple of 64",
        "flops and bytes_moved are both zero",
        "The tolerance of y allows errors beyond 5%",
        "No small case finds that y is 2% too large",
        "No small case finds that y has one value that is 10% off",
    ):
        assert part in told
    assert "is zero." not in told.replace("both zero", "")


class Tails(Copy):
    """Sizes of which some are odd."""

    sizes: tuple[int, ...] = ()

    def check_cases(self) -> tuple[CheckCase, ...]:
        return tuple(
            CheckCase(Configuration(name=f"n{n}", parameters={"n": n}), "normal")
            for n in self.sizes
        )


@pytest.mark.parametrize(
    ("sizes", "missing"),
    [
        ((17, 33, 128), "2 or 3"),
        ((1, 2, 3, 77, 128), "2 or 3"),  # a small one never reaches what comes after the main loop
        ((17, 46, 79, 128), ""),
        ((64, 128), ""),  # only multiples of 64 are taken: another sentence
        ((30, 96), ""),  # only even sizes are
    ],
)
def test_a_tail_that_no_size_has_is_said(sizes: tuple[int, ...], missing: str) -> None:
    task = Tails()
    task.sizes = sizes
    told = [line for line in case_coverage.gaps(task) if "remainder" in line]
    wanted = f"No case whose n is above 16 leaves a remainder of {missing} by 4: "
    assert [line.startswith(wanted) for line in told] == ([True] if missing else [])


def test_an_unknown_task_is_answered_with_those_there_are() -> None:
    result = CliRunner().invoke(app, ["task", "check", "nothing"])
    assert result.exit_code != 0
