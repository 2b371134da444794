"""Ways to compute one thing, and how far each is from what the judge allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.judge import expect, judge
from avo_tui.evaluation.task import CheckCase, Task

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

SPACING = 7919
"""Between two cases' seeds and two draws', so that none are used twice."""


@dataclass(frozen=True)
class Variant:
    """One way to compute a task's outputs."""

    name: str
    honest: bool
    run: Callable[[Configuration, Tensors], Tensors]
    group: str = ""
    """Of wrong ones: `precision` or `mistake`."""


@dataclass
class Margin:
    """Errors of one variant in units of the tolerance."""

    variant: Variant
    worst: list[float] = field(default_factory=list)
    """Of each draw, the largest over the cases."""
    where: str = ""
    """Case of the largest error of an honest variant."""

    @property
    def decisive(self) -> float:
        """Of an honest variant the largest error, of a wrong one the smallest of a draw."""
        return max(self.worst) if self.variant.honest else min(self.worst)

    @property
    def kept(self) -> bool:
        """Whether no draw came to the wrong verdict."""
        return self.decisive <= 1 if self.variant.honest else self.decisive > 1


def measure(
    task: Task,
    cases: Sequence[CheckCase],
    variants: Sequence[Variant],
    draws: range,
    margins: dict[str, Margin],
) -> None:
    """Judges each variant on all cases in each draw; adds to `margins`, by the variant's name."""
    for draw in draws:
        largest = {variant.name: 0.0 for variant in variants}
        for index, case in enumerate(cases):
            seed = (draw * len(cases) + index) * SPACING + 13
            inputs = task.make_inputs(case.configuration, seed, case.distribution)
            reference = task.reference(case.configuration, inputs)
            own = task.own(case.configuration, inputs)
            expected = {
                name: expect(reference[name], own[name], task.tolerance_of(name)) for name in own
            }
            for variant in variants:
                margin = margins.setdefault(variant.name, Margin(variant))
                outputs = variant.run(case.configuration, inputs)
                error = max(judge(n, outputs[n], expected[n]).error for n in expected)
                if error > max([largest[variant.name], *margin.worst]):
                    margin.where = f"{case.configuration.name} / {case.distribution}, draw {draw}"
                largest[variant.name] = max(largest[variant.name], error)
        for name, error in largest.items():
            margins[name].worst.append(error)
