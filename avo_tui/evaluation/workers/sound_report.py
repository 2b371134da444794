"""Decides whether a worker's answer can be a report on what was asked.

A worker may be on another machine, and of another version. What it answers is data from outside: a
report that contradicts itself or the question must neither end the engine nor reach the gate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import ValidationError

from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.verdict import Feedback, Verdict


def sound_report(op: str, task: str, candidate: Candidate, answer: object) -> EvaluationReport:
    """The report in the answer to a request `op`, or one of a failed harness that says why not."""
    try:
        report = EvaluationReport.model_validate(answer)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        return _refused(task, candidate, f"{where}: {first['msg']}")
    why = _contradiction(op, report, candidate)
    return _refused(task, candidate, why) if why else report


def _contradiction(op: str, report: EvaluationReport, candidate: Candidate) -> str:
    """Why a report on this candidate cannot be true; empty if it can."""
    if report.candidate != candidate.id:
        return f"it is about another candidate, {report.candidate[:10]}"
    correct = report.verdict is Verdict.CORRECT
    if op == "evaluate" and correct != (report.score is not None):
        return f"the verdict is {report.verdict} {_with(report.score is not None)} a score"
    if op == "remeasure" and correct != (report.paired is not None):
        return f"the verdict is {report.verdict} {_with(report.paired is not None)} a comparison"
    if report.score is not None and not _are_positive(
        value for c in report.score.configurations for value in (c.ratio, c.throughput)
    ):
        return "a score is not a positive number"
    if report.paired is not None and not _are_positive(
        value for row in report.paired.configurations.values() for value in row
    ):
        return "a compared time is not a positive number"
    return ""


def _with(there: bool) -> str:
    return "with" if there else "without"


def _are_positive(values: Iterable[float]) -> bool:
    """Whether there are values, and all of them are positive and finite."""
    kept = list(values)
    return bool(kept) and all(math.isfinite(value) and value > 0 for value in kept)


def _refused(task: str, candidate: Candidate, why: str) -> EvaluationReport:
    return EvaluationReport(
        task=task,
        candidate=candidate.id,
        verdict=Verdict.HARNESS_ERROR,
        feedback=Feedback(summary=f"a worker answered what cannot be a report: {why}"),
        at=now(),
    )
