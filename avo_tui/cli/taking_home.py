"""`avo export --as branch`: proves a repository's best line, then writes it as a branch."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import estimate, prior_of
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.command.base import checkout
from avo_tui.evaluation.backends.command.task import RepositoryTask
from avo_tui.evaluation.backends.command.trying import Proved, prove
from avo_tui.evaluation.backends.cpp.toolchain import cpu_model
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.export import Exported, ExportError
from avo_tui.export.branch import Origin, Proof, as_branch
from avo_tui.store import SessionReader


def branch(reader: SessionReader, to: Path, number: int | None) -> Exported:
    """Raises ExportError."""
    session = reader.state.session
    if not session.task.tree:
        raise ExportError(
            f"{session.name} is about a kernel: --as branch is for repositories; --as git exports"
            " the lineage"
        )
    try:
        task = find_tasks().get(session.task.name)
    except EvaluatorError as error:
        raise ExportError(str(error)) from error
    assert isinstance(task, RepositoryTask)
    if str(task.base.tree) != session.task.tree:
        raise ExportError(
            f"{task.folder}/avo.toml names another base than {session.name} began with; put the"
            " line back to export this session"
        )
    commit, prefix = checkout(task.folder, task.project.project.base)
    origin = Origin(folder=task.folder, commit=commit, prefix=prefix)

    def proof(candidate: Candidate) -> Proof:
        try:
            proved = asyncio.run(prove(task, candidate, Sandbox()))
        except Rejected as rejection:
            raise ExportError(
                f"the branch does not hold from nothing: {rejection.verdict}:"
                f" {rejection.feedback.summary}"
            ) from rejection
        except EvaluatorError as error:
            raise ExportError(str(error)) from error
        return _proof(task, proved)

    return as_branch(reader, to, number, origin, proof)


def _proof(task: RepositoryTask, proved: Proved) -> Proof:
    whole = estimate(proved.replicates, prior_of([]))
    low, high = whole.interval()
    project = task.project
    commands = [project.build.command, project.test.command, project.benchmark.command]
    return Proof(
        metrics=tuple(
            _row(proved.score, c, proved.replicates) for c in proved.score.configurations
        ),
        gain=_middle(low, high),
        low=low,
        high=high,
        pairs=len(proved.replicates),
        checks=proved.checks,
        device=f"{cpu_model()}, {project.benchmark.cores or 'all'} cores",
        commands=tuple(filter(None, commands)),
        executed=proved.executed,
    )


def _row(
    score: Score, metric: ConfigurationScore, replicates: tuple[PairedMeasurement, ...]
) -> tuple[str, str, str, str]:
    low, high = estimate(replicates, prior_of([]), metric.name).interval()
    base = metric.baselines.get(score.reference_baseline, 0.0)
    shown = f"{_middle(low, high):+.1%} ({low:+.1%} to {high:+.1%})"
    return metric.name, f"{base:.4g} {score.unit}", f"{metric.throughput:.4g} {score.unit}", shown


def _middle(low: float, high: float) -> float:
    """The gain in the middle of an interval, which is even on the scale of logarithms."""
    return math.sqrt((1 + low) * (1 + high)) - 1
