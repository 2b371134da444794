"""CUDA candidates as packages: cubins and resolved launch plans for each architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.compiler import CompiledCandidate
from avo_tui.evaluation.backends.cuda.front import FrontEnd
from avo_tui.evaluation.backends.cuda.resolve import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.backends.cuda.toolkit import architecture_number
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.shapes import shape_of

LAUNCHER = Path(__file__).with_name("package_launch.py")
"""The launcher of packages; a part of them, not of avo-tui."""


def devices(architectures: Sequence[str], here: DeviceFacts) -> list[DeviceFacts]:
    """What to make launches for; `here` where nothing is named. Raises EvaluatorError."""
    for name in architectures:
        try:
            architecture_number(name)
        except ValueError as error:
            raise EvaluatorError(str(error)) from error
    return [
        here if name == here.architecture else DeviceFacts.of_architecture(name)
        for name in dict.fromkeys(architectures or (here.architecture,))
    ]


async def deploy(
    task: CudaTask,
    candidate: Candidate,
    configurations: Sequence[Configuration],
    devices: Sequence[DeviceFacts],
    front: FrontEnd,
) -> Deployment:
    """Cubins for all `devices` with the launches of every configuration. Raises Rejected."""
    files: dict[str, bytes] = {}
    launches: dict[str, dict[str, object]] = {c.name: {} for c in configurations}
    for facts in devices:
        compiled, plans = await front.compile(task, candidate, facts, configurations, frozenset())
        names = _cubins(compiled, files)
        for name, plan in plans.items():
            unit = compiled.units.index(compiled.unit_of(plan.variant))
            launches[name][facts.architecture] = {
                "cubin": names[unit],
                "multiprocessors": facts.sms,
                "symbols": compiled.units[unit].symbols,
                **plan.model_dump(mode="json", exclude={"variant"}),
            }
    shapes = tuple(
        shape_of(task, configuration, _inputs(task, configuration), launches[configuration.name])
        for configuration in configurations
    )
    needs = " or ".join(f"{d.architecture} with {d.sms} multiprocessors" for d in devices)
    return Deployment(
        language=task.language,
        launcher=LAUNCHER.read_text(encoding="utf-8"),
        function=task.name,
        shapes=shapes,
        files=files,
        device="cuda",
        needs=f"an NVIDIA GPU: {needs}",
        requires=("cuda-bindings>=12.4",),
    )


def _cubins(compiled: CompiledCandidate, files: dict[str, bytes]) -> list[str]:
    """Adds the cubins of an architecture to `files`; their names in the order of the units."""
    names = []
    for index, unit in enumerate(compiled.units):
        name = f"{compiled.architecture}-{index}.cubin"
        files[name] = unit.code
        names.append(name)
    return names


def _inputs(task: CudaTask, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
    specs: Any = (t for t in task.tensors(configuration) if not t.output)
    return {t.name: (t.shape, dtypes.dtype(t.dtype).name) for t in specs}
