"""`avo export --as branch`: proves a repository's best line, then writes it as a branch."""

from __future__ import annotations

import asyncio
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.repository import Proof
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.command.base import checkout
from avo_tui.evaluation.backends.command.task import RepositoryTask
from avo_tui.evaluation.backends.command.trying import prove
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.export import Exported, ExportError
from avo_tui.export.branch import Origin, as_branch
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
        assert isinstance(task, RepositoryTask)
        if str(task.base.tree) != session.task.tree:
            raise ExportError(
                f"{task.folder}/avo.toml names another base than {session.name} began with; put the"
                " line back to export this session"
            )
        commit, prefix = checkout(task.folder, task.project.project.base)
    except EvaluatorError as error:
        raise ExportError(str(error)) from error

    def proof(candidate: Candidate) -> Proof:
        try:
            return asyncio.run(prove(task, candidate, Sandbox()))
        except Rejected as rejection:
            raise ExportError(
                f"the branch does not hold from nothing: {rejection.verdict}:"
                f" {rejection.feedback.summary}"
            ) from rejection
        except EvaluatorError as error:
            raise ExportError(str(error)) from error

    origin = Origin(folder=task.folder, commit=commit, prefix=prefix)
    return as_branch(reader, to, number, origin, proof)
