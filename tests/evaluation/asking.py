"""What tests ask a pipeline for: the report of a stage, or of two candidates in turn."""

from typing import Any

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import (
    CheckQuestion,
    CompileQuestion,
    EvaluateQuestion,
    RemeasureQuestion,
    ReportQuestion,
)
from avo_tui.domain.report import EvaluationReport
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.ports import ProgressSink

STAGES: dict[str, type[ReportQuestion]] = {
    "compile": CompileQuestion, "check": CheckQuestion, "benchmark": EvaluateQuestion,
}  # fmt: skip


async def evaluated(
    pipeline: Pipeline, task: str, candidate: Candidate, upto: str, progress: ProgressSink,
    *, quick: bool = False,
) -> EvaluationReport:  # fmt: skip
    more: dict[str, Any] = {"quick": True} if quick else {}
    return await pipeline.ask(task, STAGES[upto](files=candidate.files, **more), progress)


async def remeasured(
    pipeline: Pipeline, task: str, candidate: Candidate, other: Candidate, progress: ProgressSink,
    *, replicate: int = 0,
) -> EvaluationReport:  # fmt: skip
    question = RemeasureQuestion(files=candidate.files, other=other.files, replicate=replicate)
    return await pipeline.ask(task, question, progress)
