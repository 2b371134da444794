"""The front end of a GPU language: turns a candidate's sources into cubins and launch plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda import single_source, toolkit
from avo_tui.evaluation.backends.cuda.compiled import resolve_plans
from avo_tui.evaluation.backends.cuda.compiler import CompiledCandidate, Compiler
from avo_tui.evaluation.backends.cuda.resolve import DeviceFacts, LaunchPlan
from avo_tui.evaluation.backends.cuda.task import CudaTask

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
        try:
            unit = await self._compiler.compile(candidate, facts.architecture)
        except toolkit.ToolkitError as error:
            raise Rejected(Verdict.HARNESS_ERROR, Feedback(summary=str(error))) from error
        if not unit.ok:
            raise Rejected(unit.verdict, unit.feedback)
        return unit, plans

    def single_source(
        self,
        task: CudaTask,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        facts: DeviceFacts,
        function: str,
    ) -> SingleSource:
        """A `.cu` for nvcc; nothing is compiled here."""
        return single_source.single_source(task, candidate, configurations, facts, function)
