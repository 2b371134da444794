"""Candidates for the processor as packages: what compiling them on installation takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avo_tui.domain.deployment import Build, Deployment
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.shapes import SEED, shape_of
from avo_tui.evaluation.task import Task

LAUNCHER = Path(__file__).with_name("package_launch.py")
"""The launcher of packages; a part of them, not of avo-tui."""


def deployment(
    task: Task, configurations: Sequence[Configuration], build: Build, needs: str
) -> Deployment:
    """For a candidate that is known to compile; `needs` says what the installation has to have."""
    shapes = []
    for configuration in configurations:
        example = task.make_inputs(configuration, SEED, task.timed[0])
        inputs = {
            name: (tuple(t.shape), str(t.dtype).removeprefix("torch."))
            for name, t in example.items()
        }
        arguments = [
            {"kind": a.kind, "name": a.name, "value": configuration.parameters.get(a.name)}
            for a in task.arguments
        ]
        shapes.append(shape_of(task, configuration, inputs, {"arguments": arguments}))
    return Deployment(
        language=task.language,
        launcher=LAUNCHER.read_text(encoding="utf-8"),
        function=task.name,
        shapes=tuple(shapes),
        build=build,
        needs=f"{needs} on installation; the kernel is compiled for the processor there",
    )
