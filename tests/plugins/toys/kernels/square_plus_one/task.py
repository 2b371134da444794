"""x² + 1, for the toy backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Baseline, Tensors


class SquarePlusOne(Task):
    name = "square_plus_one"
    title = "x² + 1"
    language = "postfix"
    description = "y = x² + 1 for a vector x."
    reference_baseline = "torch"
    baseline_names = ("torch",)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return (Configuration(name="n-4096", parameters={"n": 4096}),)

    def check_cases(self) -> tuple[CheckCase, ...]:
        return (CheckCase(self.configurations[0], "normal"),)

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        import torch

        generator = torch.Generator().manual_seed(seed)
        return {"x": torch.randn(int(configuration.parameters["n"]), generator=generator)}

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        return {"y": ((int(configuration.parameters["n"]),), "float32")}

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        x: torch.Tensor = inputs["x"].double()
        return {"y": x * x + 1}

    def baselines(self) -> Mapping[str, Baseline]:
        return {"torch": lambda configuration, inputs: {"y": inputs["x"] ** 2 + 1}}

    def flops(self, configuration: Configuration) -> float:
        return 2.0 * int(configuration.parameters["n"])
