"""The front end of a GPU language turns a candidate's sources into cubins and launch plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Protocol

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment, Domain, SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda import single_source, toolkit
from avo_tui.evaluation.backends.cuda.compiled import resolve_plans
from avo_tui.evaluation.backends.cuda.compiler import CompiledCandidate, Compiler
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts, LaunchPlan
from avo_tui.evaluation.backends.cuda.launch_rule import rule_of
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.backends.cuda.toolkit import architecture_number
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.shapes import shape_of

Plans = Mapping[str, LaunchPlan]
"""Name of a configuration → what one run on it launches."""


class FrontEnd(Protocol):
    """Compiles one language for GPUs. Needs no GPU."""

    def version(self) -> str:
        """Name and version of the compiler; loads nothing for it."""

    async def compile(
        self,
        task: CudaTask,
        candidate: Candidate,
        facts: DeviceFacts,
        configurations: Sequence[Configuration],
        hidden: Set[str],
    ) -> tuple[CompiledCandidate, Plans]:
        """Cubins, and a plan for each configuration; of those named in `hidden` it tells nothing.

        Raises Rejected.
        """

    def single_source(
        self,
        task: CudaTask,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        facts: DeviceFacts,
        function: str,
    ) -> SingleSource:
        """The kernel as one file for an ordinary compiler. Raises Rejected and EvaluatorError."""


class CudaFrontEnd:
    """CUDA C++ with a launch manifest, compiled by NVRTC."""

    single_source = staticmethod(single_source.single_source)

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    def version(self) -> str:
        """Such as `NVRTC 13.0.88`."""
        return toolkit.compiler_version()

    async def compile(
        self,
        task: CudaTask,
        candidate: Candidate,
        facts: DeviceFacts,
        configurations: Sequence[Configuration],
        hidden: Set[str],
    ) -> tuple[CompiledCandidate, Plans]:
        """Resolves the manifest first, which takes no time, then compiles."""
        plans = resolve_plans(task, candidate, facts, configurations, hidden)
        return await self._compiler.compile(candidate, facts.architecture), plans


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
    domain: Domain | None,
    devices: Sequence[DeviceFacts],
    front: FrontEnd,
) -> Deployment:
    """Cubins for all `devices` with the launches of every configuration. Raises Rejected."""
    files: dict[str, bytes] = {}
    launches: dict[str, dict[str, object]] = {c.name: {} for c in configurations}
    if not isinstance(front, CudaFrontEnd):  # a traced launch is not known for further shapes
        domain = None
    rules: dict[str, object] = {}
    for facts in devices:
        compiled, plans = await front.compile(task, candidate, facts, configurations, frozenset())
        names = [f"{facts.architecture}-{number}.cubin" for number in range(len(compiled.units))]
        files |= {name: unit.code for name, unit in zip(names, compiled.units, strict=True)}
        for name, plan in plans.items():
            unit = compiled.units.index(compiled.unit_of(plan.variant))
            launches[name][facts.architecture] = {
                "cubin": names[unit],
                "multiprocessors": facts.sms,
                "symbols": compiled.units[unit].symbols,
                **plan.model_dump(mode="json", exclude={"variant"}),
            }
        if domain is not None:
            rules[facts.architecture] = rule_of(task, candidate, facts, domain, compiled, names)
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
        domain=domain and domain.model_copy(update={"launch": rules}),
        files=files,
        device="cuda",
        needs=f"an NVIDIA GPU: {needs}",
        requires=("cuda-bindings>=12.4",),
    )


def _inputs(task: CudaTask, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
    specs: Any = (t for t in task.tensors(configuration) if not t.output)
    return {t.name: (t.shape, dtypes.dtype(t.dtype).name) for t in specs}
