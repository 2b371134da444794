"""One case of the check: run a candidate, look for damage, hand its outputs over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from avo_tui.evaluation.backends.cuda.harness import timing
from avo_tui.evaluation.backends.cuda.harness.buffers import Buffers
from avo_tui.evaluation.backends.cuda.harness.candidate import Candidate
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement.dtypes import bits
from avo_tui.evaluation.measurement.judge import place

Reply = dict[str, Any]

HandOver = Callable[[Buffers, int, Reply, str], int]
"""Copies the outputs to whoever judges them, from an offset, and notes under a key of the reply
where each lies; returns where they end."""


class CaseRun:
    """Runs a candidate on one case, and again where the case asks for it."""

    def __init__(self, task: CudaTask, candidate: Candidate, hand_over: HandOver) -> None:
        self._task, self._candidate, self._hand_over = task, candidate, hand_over

    def run(self, request: Reply) -> Reply:
        """What came of the case that a request of the worker names."""
        candidate = self._candidate
        inputs = timing.Inputs(request["seed"], request["distribution"])
        reply: Reply = {}
        candidate.prepare(inputs.seed, inputs.distribution)
        reply["milliseconds"] = timing.run_prepared(candidate)
        end = self._hand_over(candidate.current, 0, reply, "outputs")
        reply["damage"] = candidate.damage()
        reply["changed_inputs"] = self._changed(inputs)
        if request["repeat"] and not reply["changed_inputs"]:
            reply["unsteady"] = self._repeat(inputs)
        if request["perturb"] and not reply["changed_inputs"]:
            self._perturbed(inputs, end, reply)
        return reply

    def _perturbed(self, inputs: timing.Inputs, offset: int, reply: Reply) -> None:
        """Runs on changed inputs, where the task has any, and hands those outputs over too."""
        candidate, task = self._candidate, self._task
        configuration = candidate.configuration

        def fill(tensors: dict[str, torch.Tensor]) -> None:
            task.fill(configuration, inputs.seed, inputs.distribution, tensors)
            changed = task.perturb(configuration, tensors, inputs.seed)
            for name, tensor in changed.inputs.items() if changed else ():
                tensors[name].copy_(tensor)

        if task.perturb(configuration, candidate.current.inputs, inputs.seed) is None:
            return
        candidate.prepare_with(fill)
        timing.run_prepared(candidate)
        self._hand_over(candidate.current, offset, reply, "perturbed")
        reply["changed_inputs"] += candidate.changed_persistent()
        reply["damage"] = reply["damage"] or candidate.damage()

    def _changed(self, inputs: timing.Inputs) -> list[str]:
        """Inputs that are not what they were: compared with the same values made again.

        Persistent workspaces are inputs of the timed stages, and compared with a copy.
        """
        candidate = self._candidate
        again = candidate.inputs_again(inputs.seed, inputs.distribution)
        changed = [
            name
            for name, tensor in candidate.current.inputs.items()
            if not torch.equal(bits(tensor), bits(again[name]))
        ]
        return changed + candidate.changed_persistent()

    def _repeat(self, inputs: timing.Inputs) -> str:
        """Runs again on the same inputs, elsewhere in memory; says what differs."""
        candidate = self._candidate
        first = {name: bits(tensor).clone() for name, tensor in candidate.current.outputs.items()}
        candidate.prepare(inputs.seed, inputs.distribution)
        timing.run_prepared(candidate)
        for name, tensor in candidate.current.outputs.items():
            differs = bits(tensor) != first[name]
            if count := int(differs.sum()):
                where = place(name, differs)
                return f"{count} of {tensor.numel()} elements of {name}, the first {where}"
        return ""
