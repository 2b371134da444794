"""Decides whether a worker's answer can be a report on what was asked.

A worker may be on another machine, and of another version. What it answers is data from outside: a
report that contradicts itself or the question must neither end the engine nor reach the gate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.workers.answers import NoAnswerError, sound


def sound_report(op: str, task: str, candidate: Candidate, answer: object) -> EvaluationReport:
    """The report in the answer to a request `op`, or one of a failed harness that says why not."""
    try:
        report = sound(EvaluationReport, answer, "report")
    except NoAnswerError as error:
        return _refused(task, candidate, str(error))
    why = _contradiction(op, report, task, candidate)
    return _refused(task, candidate, why) if why else report


def _contradiction(op: str, report: EvaluationReport, task: str, candidate: Candidate) -> str:
    """Why a report on this candidate cannot be true; empty if it can."""
    if report.task != task:
        return f"it is about another task, {report.task}"
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
    if not all(map(_is_amount, _amounts(report))):
        return "a number in it is negative, or none"
    if report.score is not None:
        names = [c.name for c in report.score.configurations]
        if len(set(names)) < len(names):
            return "a configuration is scored twice"
    return ""


def _amounts(report: EvaluationReport) -> Iterator[float]:
    """Numbers that count in a gate, a budget or a table, and are never negative."""
    seconds = report.seconds
    yield from (seconds.compile, seconds.check, seconds.benchmark, seconds.other)
    yield from (seconds.waiting, seconds.start_up)
    for phases in seconds.phases.values():
        yield from phases.values()
    for c in report.score.configurations if report.score is not None else ():
        yield from (c.p20, c.p80, c.ratio_p20, c.ratio_p80, c.milliseconds, c.prepare_milliseconds)
        yield from (c.samples, *c.baselines.values())
    if report.paired is not None:
        yield from (report.paired.seconds, *report.paired.rounds.values())
        for pair in report.paired.milliseconds.values():
            yield from pair


def _is_amount(number: float) -> bool:
    return math.isfinite(number) and number >= 0


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
