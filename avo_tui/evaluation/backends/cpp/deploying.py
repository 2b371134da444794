"""C++ candidates as packages: what compiling them on installation takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Build, Deployment
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp import flags, glue
from avo_tui.evaluation.shapes import SEED, shape_of
from avo_tui.evaluation.task import Task

LAUNCHER = Path(__file__).with_name("package_launch.py")
"""The launcher of packages; a part of them, not of avo-tui."""
_MADE_BY_SETUPTOOLS = frozenset({"-fPIC", "-shared"})


def deployment(
    task: Task, candidate: Candidate, configurations: Sequence[Configuration]
) -> Deployment:
    """The sources' header, flags and arguments, for a candidate that is known to compile."""
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
    options = [f for f in flags.FIXED if f not in _MADE_BY_SETUPTOOLS]
    return Deployment(
        language=task.language,
        launcher=LAUNCHER.read_text(encoding="utf-8"),
        function=task.name,
        shapes=tuple(shapes),
        files={glue.HEADER: glue.header(task).encode()},
        build=Build(flags=(*options, *flags.declared_flags(candidate)), entry=task.entry),
        needs="a C++ compiler on installation; the kernel is compiled for the processor there",
    )
