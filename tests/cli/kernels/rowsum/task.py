"""A small task for tests of the command line: sums of the rows of a matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.task import Argument, CheckCase, Task, Tolerance

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline, Tensors

_SCORED = (Configuration(name="rows-256", parameters={"rows": 256}),)


class RowSum(Task):
    name = "rowsum"
    title = "Sums of rows"
    language = "cpp"
    device = "cpu"
    reference_baseline = "torch"
    baseline_names = ("torch",)
    entry = "rowsum"
    arguments = (Argument("x", "input"), Argument("out", "output"), Argument("rows", "size"))
    tolerance = Tolerance(factor=8.0, floor=1e-4, rms_factor=8.0, rms_floor=1e-4, per_row=False)
    description = "`out[i]` is the sum of the 512 values of row i of `x`."

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return _SCORED

    def check_cases(self) -> tuple[CheckCase, ...]:
        odd = Configuration(name="odd", parameters={"rows": 3})
        return (
            CheckCase(odd, "normal", hidden=True, category="few rows"),
            CheckCase(_SCORED[0], "normal"),
        )

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        import torch

        generator = torch.Generator().manual_seed(seed)
        return {"x": torch.randn((int(configuration.parameters["rows"]), 512), generator=generator)}

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        return {"out": ((int(configuration.parameters["rows"]),), "float32")}

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        return {"out": inputs["x"].double().sum(-1)}

    def baselines(self) -> Mapping[str, Baseline]:
        return {"torch": lambda configuration, inputs: {"out": inputs["x"].sum(-1)}}

    def flops(self, configuration: Configuration) -> float:
        return 512.0 * int(configuration.parameters["rows"])
