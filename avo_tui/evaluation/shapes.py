"""Configurations as shapes that a package of a kernel may be called with."""

from __future__ import annotations

from collections.abc import Mapping

from avo_tui.domain.deployment import DeployedShape, DeployedTensor
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.task import Task

SEED = 20_240_601
"""Of the inputs that a package is tried with."""


def shape_of(
    task: Task,
    configuration: Configuration,
    inputs: Mapping[str, tuple[tuple[int, ...], str]],
    launch: Mapping[str, object],
) -> DeployedShape:
    """A configuration with its tensors; `inputs` is name → (shape, dtype by torch's name)."""
    return DeployedShape(
        name=configuration.name,
        inputs=tuple(
            DeployedTensor(name=name, dtype=dtype, shape=shape)
            for name, (shape, dtype) in inputs.items()
        ),
        outputs=tuple(
            DeployedTensor(name=name, dtype=dtype, shape=shape)
            for name, (shape, dtype) in task.outputs(configuration).items()
        ),
        parameters=dict(configuration.parameters),
        launch=dict(launch),
    )


def public_configurations(task: Task) -> tuple[Configuration, ...]:
    cases = (case.configuration for case in task.check_cases() if not case.hidden)
    return tuple({c.name: c for c in (*task.configurations, *cases)}.values())
