"""What a worker writes, read as data from outside.

A worker may be on another machine, and be another program than it says. Whatever it writes ends in
a value of the expected type or in one sentence, with bounded memory, and no text of it can move a
terminal's cursor. A report that contradicts itself or the question must neither end the engine nor
reach the gate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.questions import (
    Answer,
    EvaluateQuestion,
    Question,
    RemeasureQuestion,
    ReportQuestion,
)
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.ports import EvaluatorError

ANSWER_LIMIT = 16 << 20
"""Largest length of one answer in bytes."""
WORDS = 4000
"""Characters that are kept of an error, and of a line of the worker's log."""
_TEXT = 1 << 20
"""Characters that are kept of any other text."""
_MOST_VALUES = 100_000
"""Values that one answer may consist of, each entry of a list or object counted."""

_V = TypeVar("_V", bound=Value)


class NoAnswerError(ValueError):
    """A line that is no answer; the text says why, in a phrase."""


@dataclass(frozen=True)
class Line:
    """What one line of a worker says."""

    id: int | None
    """Number of the request; None where it answers none."""
    ready: dict[str, Any] | None = None
    """What the worker says about itself in its first line."""
    log: str = ""
    """Words for the person's log."""
    progress: EvaluationProgress | None = None
    error: str | None = None
    cancelled: bool = False
    """Whether the request was ended because that was asked for."""
    result: Any = None


def read_line(line: bytes) -> Line:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        excerpt = plain(line[:200].decode(errors="replace"), 80)
        raise NoAnswerError(f"it wrote {excerpt!r}, which is no JSON that can be read") from error
    if not isinstance(body, dict):
        raise NoAnswerError(f"it wrote a {type(body).__name__} instead of an object")
    number = body.get("id")
    if number is not None and type(number) is not int:
        raise NoAnswerError("it answered a request without a whole number as its id")
    if body.get("ready"):
        return Line(number, ready=cleaned(body))
    if "log" in body:
        return Line(number, log=safe(str(body["log"])[:WORDS]))
    if "progress" in body:
        return Line(number, progress=sound(EvaluationProgress, body["progress"], "progress"))
    if "error" in body:
        text = safe(str(body["error"])[:WORDS])
        return Line(number, error=text, cancelled=body.get("kind") == "cancelled")
    return Line(number, result=body.get("result"))


def cleaned(value: Any) -> Any:
    """A value read from JSON, its texts safe to show and bounded.

    Raises NoAnswerError for one of too many parts, or nested too deep.
    """
    left = _MOST_VALUES

    def clean(part: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise NoAnswerError(f"it wrote more than {_MOST_VALUES:,} values")
        if isinstance(part, str):
            return safe(part[:_TEXT])
        if isinstance(part, dict):
            return {safe(str(key)[:WORDS]): clean(item) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return [clean(item) for item in part]
        return part

    try:
        return clean(value)
    except RecursionError as error:
        raise NoAnswerError("it wrote values that are nested too deep") from error


def sound(kind: type[_V], answer: object, what: str, *, clean: bool = True) -> _V:
    """The answer as a value of this kind, its texts safe to show if `clean`.

    Raises NoAnswerError that says why it is no `what`, such as `report`.
    """
    try:
        return kind.model_validate(cleaned(answer) if clean else answer)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        why = plain(f"{where}: {first['msg']}", 300)
        raise NoAnswerError(f"{what}: {why}") from error


def told(kind: type[_V], answer: object, what: str, *, clean: bool = True) -> _V:
    """As `sound`, for a question that the person or the engine asked. Raises EvaluatorError."""
    try:
        return sound(kind, answer, what, clean=clean)
    except NoAnswerError as error:
        raise EvaluatorError(f"a worker's answer cannot be used: {error}") from error


def answer_to(question: Question[Answer], task: str, answer: object) -> Answer:
    """The answer to a question in what a worker wrote. Raises EvaluatorError where it is none; a
    report that cannot be true becomes one of a failed harness that says why not."""
    if not isinstance(question, ReportQuestion):
        # a source stays as it is
        clean = question.answers is not Candidate
        what = f"answer to {question.op}"
        return cast("Answer", told(question.answers, answer, what, clean=clean))
    try:
        report = sound(EvaluationReport, answer, "report")
        why = _contradiction(question, report, task)
    except NoAnswerError as error:
        why = str(error)
    if why:
        report = question.unanswered(task, f"a worker answered what cannot be a report: {why}")
    return cast("Answer", report)


def _contradiction(question: ReportQuestion, report: EvaluationReport, task: str) -> str:
    """Why a report in answer to this question cannot be true; empty if it can."""
    if report.task != task:
        return f"it is about another task, {report.task}"
    if report.candidate != question.candidate.id:
        return f"it is about another candidate, {report.candidate[:10]}"
    correct = report.verdict is Verdict.CORRECT
    scored, paired = report.score is not None, report.paired is not None
    if isinstance(question, EvaluateQuestion) and correct != scored:
        return f"the verdict is {report.verdict} {_with(scored)} a score"
    if isinstance(question, RemeasureQuestion) and correct != paired:
        return f"the verdict is {report.verdict} {_with(paired)} a comparison"
    scores = [score for score in (report.score, report.breadth) if score is not None]
    if not all(
        _are_positive(v for c in score.configurations for v in (c.ratio, c.throughput))
        for score in scores
    ):
        return "a score is not a positive number"
    if report.paired is not None and not _are_positive(
        value for row in report.paired.configurations.values() for value in row
    ):
        return "a compared time is not a positive number"
    if not all(map(_is_amount, _amounts(report))):
        return "a number in it is negative, or none"
    for score in scores:
        names = [c.name for c in score.configurations]
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
    if report.score is not None:
        yield from report.score.error_ratios.values()
        yield from report.score.breadth.values()
    rows = (score.configurations for score in (report.score, report.breadth) if score is not None)
    for c in chain.from_iterable(rows):
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
