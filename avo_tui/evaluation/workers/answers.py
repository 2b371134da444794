"""What a worker writes, read as data from outside.

A worker may be on another machine, and be another program than it says. Whatever it writes ends in
a value of the expected type or in one sentence, with bounded memory, and no text of it can move a
terminal's cursor.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from avo_tui.domain.base import Value
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.report import EvaluationProgress
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
class Answer:
    """One line of a worker."""

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


def read_answer(line: bytes) -> Answer:
    """The answer in a line. Raises NoAnswerError."""
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
        return Answer(number, ready=cleaned(body))
    if "log" in body:
        return Answer(number, log=safe(str(body["log"])[:WORDS]))
    if "progress" in body:
        return Answer(number, progress=sound(EvaluationProgress, body["progress"], "progress"))
    if "error" in body:
        text = safe(str(body["error"])[:WORDS])
        return Answer(number, error=text, cancelled=body.get("kind") == "cancelled")
    return Answer(number, result=body.get("result"))


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


def sound(kind: type[_V], answer: object, what: str) -> _V:
    """The answer as a value of this kind, its texts safe to show.

    Raises NoAnswerError that says why it is no `what`, such as `report`.
    """
    try:
        return kind.model_validate(cleaned(answer))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        why = plain(f"{where}: {first['msg']}", 300)
        raise NoAnswerError(f"{what}: {why}") from error


def told(kind: type[_V], answer: object, what: str) -> _V:
    """As `sound`, for a question that the person or the engine asked. Raises EvaluatorError."""
    try:
        return sound(kind, answer, what)
    except NoAnswerError as error:
        raise EvaluatorError(f"a worker's answer cannot be used: {error}") from error


def entry(answer: object, name: str) -> Any:
    """One entry of an answer that is an object. Raises EvaluatorError where there is none."""
    if not isinstance(answer, dict) or name not in answer:
        raise EvaluatorError(f"a worker's answer cannot be used: it has no {name}")
    return answer[name]
