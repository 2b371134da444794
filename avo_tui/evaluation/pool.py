"""Inputs with their references, reused between evaluations.

A candidate's process is fresh each time and never sees a reference, so the same secret inputs may
serve several candidates; each set is made anew after a while, and the seeds are not to be guessed.
"""

from __future__ import annotations

import functools
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.judge import Expected, expect
from avo_tui.evaluation.measurement.near_ties import NearTies, may_jump
from avo_tui.evaluation.task import CheckCase, Perturbation, Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Tensors

_USES = 24
_BYTES = 512 << 20


@dataclass
class Sample:
    """One set of inputs and what is expected of the outputs."""

    inputs: Tensors
    expected: dict[str, Expected]
    perturbation: Perturbation | None
    uses_left: int

    def bytes(self) -> int:
        """Memory it holds, roughly."""
        tensors = list(self.inputs.values())
        if self.perturbation is not None:
            tensors += self.perturbation.inputs.values()
        held = int(sum(t.numel() * t.element_size() for t in tensors))
        return held + sum(e.bytes() for e in self.expected.values())


def fresh_seed() -> int:
    """A seed that a candidate cannot foresee."""
    return secrets.randbits(62)


def make_expected(
    task: Task, configuration: Configuration, inputs: Tensors, own: Tensors | None = None
) -> dict[str, Expected]:
    """The limits for every output of one set of inputs; `own`: the library's outputs for them,
    computed here where they are not given."""
    reference = task.reference(configuration, inputs)
    own = task.own(configuration, inputs) if own is None else own
    ties = NearTies(lambda moved: task.reference(configuration, moved), inputs, reference)
    return {
        name: _with_ties(
            name,
            expect(reference[name], own[name], task.tolerance_of(name), task.axes.get(name, ())),
            ties if may_jump(name, dtype, task.jumping) else None,
        )
        for name, (_, dtype) in task.outputs(configuration).items()
    }


def _with_ties(name: str, expected: Expected, ties: NearTies | None) -> Expected:
    if ties is None:
        return expected
    return replace(expected, unsure=functools.cache(lambda: ties.unsure(name, expected.limit)))


class Pool:
    """Samples of check cases, the least recently used dropped beyond a size."""

    def __init__(self) -> None:
        self._samples: OrderedDict[tuple[str, str, str, bool], Sample] = OrderedDict()

    def get(self, task: Task, case: CheckCase) -> Sample:
        body = case.configuration.model_dump_json()
        key = (task.name, body, case.distribution, case.perturb)
        sample = self._samples.get(key)
        if sample is None or sample.uses_left <= 0:
            sample = self._make(task, case)
            self._samples[key] = sample
        self._samples.move_to_end(key)
        sample.uses_left -= 1
        while len(self._samples) > 1 and sum(s.bytes() for s in self._samples.values()) > _BYTES:
            self._samples.popitem(last=False)
        return sample

    def _make(self, task: Task, case: CheckCase) -> Sample:
        seed = fresh_seed()
        inputs = task.make_inputs(case.configuration, seed, case.distribution)
        expected = make_expected(task, case.configuration, inputs)
        change = task.perturb(case.configuration, inputs, seed ^ 1) if case.perturb else None
        if change is not None:  # inputs that it does not name stay as they are
            change = replace(change, inputs={**inputs, **change.inputs})
        return Sample(inputs, expected, change, uses_left=_USES - secrets.randbelow(_USES // 2))
