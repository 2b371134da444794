"""The backend for repositories: the same questions as of a kernel, answered by commands."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from hashlib import sha256

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import ScratchReport
from avo_tui.domain.report import ConfigurationCheck, Resources
from avo_tui.domain.repository import MEASURED_BY
from avo_tui.domain.score import PairedMeasurement, Score
from avo_tui.evaluation.backends.base import Compiled, Context, Experiment
from avo_tui.evaluation.backends.command.checking import Checking
from avo_tui.evaluation.backends.command.executed import sentence
from avo_tui.evaluation.backends.command.measuring import Measuring
from avo_tui.evaluation.backends.command.task import RepositoryTask
from avo_tui.evaluation.backends.command.workshop import Tree, Workshop
from avo_tui.evaluation.backends.cpp.machine import lock_name
from avo_tui.evaluation.backends.cpp.toolchain import cpu_model
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

HARNESS_VERSION = "1"
"""Part of the conditions of a measurement: raise it when a change of the measuring makes scores
incomparable."""


@dataclass(frozen=True)
class BuiltTree(Compiled):
    tree: Tree


class CommandBackend:
    """Backend for repositories. One project's trees are kept at a time."""

    check_needs_device = False

    def __init__(self) -> None:
        self._at: tuple[Workshop, Checking, Measuring] | None = None

    def _open(self, task: Task, sandbox: Sandbox) -> tuple[Workshop, Checking, Measuring]:
        assert isinstance(task, RepositoryTask)
        known = self._at[0] if self._at is not None else None
        if known is None or (known.project, known.base.id) != (task.project, task.base.id):
            if known is not None:
                known.close()
            shop = Workshop(task.project, task.base, sandbox, task.folder)
            self._at = shop, Checking(shop), Measuring(shop)
        assert self._at is not None
        return self._at

    async def machine(self, task: Task, sandbox: Sandbox) -> MachineInfo:
        assert isinstance(task, RepositoryTask)
        level = await sandbox.level()
        cores = task.project.benchmark.cores
        kept = f"{cores} core{'s' if cores != 1 else ''}" if cores else "all cores"
        device = f"cpu {cpu_model()} · {kept}"
        weak = task.project.unshown
        told = (device, task.base.id, task.project.key(), HARNESS_VERSION, level.isolation)
        return MachineInfo(
            device=f"{device} · {MEASURED_BY}",
            facts=(
                f"Scores are {MEASURED_BY}: the candidate's code runs in the process that reads"
                " the clock. Guaranteed are the tests, the files that are not editable, and a"
                " plausible time of the whole command.",
                *([f"{weak[:1].upper()}{weak[1:]}."] if weak else []),
            ),
            compiler=", ".join(_compilers()),
            sandbox=level.describe(),
            sandbox_warning=level.warning,
            conditions=sha256(repr(told).encode()).hexdigest()[:24],
        )

    def device_lock(self, task: Task) -> str:
        """Repositories share the processor with every other task."""
        return "gpu-0" if task.device == "cuda" else lock_name()

    async def close(self) -> None:
        if self._at is not None:
            self._at[0].close()

    async def warm(self, task: Task, sandbox: Sandbox) -> None:
        await self._open(task, sandbox)[0].built_base()

    async def compile(self, task: Task, candidate: Candidate, context: Context) -> BuiltTree:
        shop, _, _ = self._open(task, context.sandbox)
        tree = await shop.built(candidate)
        return BuiltTree(candidate, Resources(), tree.log, tree=tree)

    async def check(
        self, task: Task, compiled: Compiled, context: Context
    ) -> tuple[ConfigurationCheck, ...]:
        assert isinstance(compiled, BuiltTree)
        _, checking, _ = self._open(task, context.sandbox)
        return await checking.check(compiled.tree, context.quick, context.progress)

    async def benchmark(self, task: Task, compiled: Compiled, context: Context) -> Score:
        assert isinstance(compiled, BuiltTree)
        shop, _, measuring = self._open(task, context.sandbox)
        ours, base = compiled.tree, await shop.built_base()
        turns = await measuring.turns(ours, base, "benchmark", context.progress)
        measuring.require_plausible(turns, ours)
        return measuring.score(turns, task.configurations)

    async def paired(
        self, task: Task, compiled: Compiled, other: Compiled, context: Context
    ) -> PairedMeasurement:
        assert isinstance(compiled, BuiltTree) and isinstance(other, BuiltTree)
        _, _, measuring = self._open(task, context.sandbox)
        began = time.monotonic()
        turns = await measuring.turns(compiled.tree, other.tree, "remeasure", context.progress)
        measuring.require_plausible(turns, compiled.tree)
        return measuring.paired(turns, time.monotonic() - began)

    async def finalist(self, task: Task, compiled: Compiled) -> str:
        assert self._at is not None and isinstance(compiled, BuiltTree)
        shop = self._at[0]
        if not compiled.tree.candidate:
            return ""
        told = await sentence(shop, compiled.candidate), shop.project.unshown
        return "; ".join(filter(None, told))

    async def scratch(self, task: Task, experiment: Experiment, context: Context) -> ScratchReport:
        raise EvaluatorError(
            "a repository has no scratch programs; change a file of the candidate and check it, or"
            " work in a worktree (avo worktree) with your own tools"
        )


def _compilers() -> list[str]:
    """Compilers that builds find, by their places: versions are in the log of the build."""
    return [path for name in ("cc", "c++", "rustc", "nvcc") if (path := shutil.which(name))]
