"""Answers of workers that cannot be reports: each becomes a failure of the harness, with words."""

from typing import Any

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import (
    BreadthQuestion,
    CheckQuestion,
    EvaluateQuestion,
    RemeasureQuestion,
    ReportQuestion,
)
from avo_tui.domain.report import EvaluationReport, Seconds
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.workers.answers import answer_to

CANDIDATE = Candidate(files={"k.cpp": "int x;"})
QUESTIONS: dict[str, ReportQuestion] = {
    "check": CheckQuestion(files=CANDIDATE.files),
    "evaluate": EvaluateQuestion(files=CANDIDATE.files),
    "breadth": BreadthQuestion(files=CANDIDATE.files),
    "remeasure": RemeasureQuestion(files=CANDIDATE.files, other={"k.cpp": "int y;"}),
}


def report(ratio: float = 1.2, **fields: Any) -> dict[str, Any]:
    one = ConfigurationScore(name="small", throughput=9.0, p20=8.0, p80=10.0, ratio=ratio)
    score = Score(unit="GFLOP/s", reference_baseline="library", configurations=(one,))
    given = {"verdict": Verdict.CORRECT, "score": score, **fields}
    made = EvaluationReport(
        task="t", candidate=CANDIDATE.id, feedback=Feedback(summary=""), **given
    )
    return made.model_dump()


def pair(*row: float, **fields: Any) -> PairedMeasurement:
    return PairedMeasurement(configurations={"small": row}, **fields)


def scored(**fields: Any) -> dict[str, Any]:
    answer = report()
    answer["score"]["configurations"][0].update(fields)
    return answer


def twice() -> Score:
    one = ConfigurationScore(name="small", throughput=9.0, p20=8.0, p80=10.0, ratio=1.0)
    return Score(unit="GFLOP/s", reference_baseline="library", configurations=(one, one))


def deep() -> dict[str, Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return {**report(), "x": nested}


def test_no_text_of_a_report_moves_the_cursor() -> None:
    answer = scored(name="\x1b[2Jsmall", flags=["\x07"], baselines={"\u202elibrary": 1.0})
    answer |= {"device": "\x1b]0;title\x07", "sandbox": "\x1b[31m"}
    told = answer_to(QUESTIONS["evaluate"], "t", answer)
    assert told.verdict is Verdict.CORRECT
    assert not set("\x1b\x07\u202e") & set(told.model_dump_json(ensure_ascii=False))


def elsewhere(**fields: Any) -> dict[str, Any]:
    return {**report(score=None), "breadth": scored(**fields)["score"]}


def inaccurate(ratio: float) -> dict[str, Any]:
    answer = report()
    answer["score"]["error_ratios"] = {"normal": ratio}
    return answer


@pytest.mark.parametrize(
    ("op", "answer"),
    [
        ("evaluate", report()),
        ("evaluate", report(verdict=Verdict.WRONG_RESULT, score=None)),
        ("check", report(score=None)),
        ("remeasure", report(score=None, paired=pair(0.9, 1.0, 1.1))),
    ],
)
def test_a_sound_report_is_passed_on(op: str, answer: dict[str, Any]) -> None:
    assert answer_to(QUESTIONS[op], "t", answer).model_dump() == answer


@pytest.mark.parametrize(
    ("op", "answer", "words"),
    [
        ("evaluate", "done", "the answer"),
        ("evaluate", {}, "task: Field required"),
        ("evaluate", {**report(), "verdict": "splendid"}, "verdict: Input should be"),
        ("evaluate", {**report(), "candidate": "f" * 64}, "another candidate, ffffffffff"),
        ("evaluate", report(score=None), "correct without a score"),
        ("evaluate", report(verdict=Verdict.WRONG_RESULT), "wrong_result with a score"),
        ("evaluate", report(float("nan")), "not a positive number"),
        ("evaluate", report(float("inf")), "not a positive number"),
        ("evaluate", report(-1.0), "not a positive number"),
        ("remeasure", report(), "correct without a comparison"),
        ("remeasure", report(paired=pair(1.0, float("inf"), 2.0)), "compared time"),
        ("remeasure", report(paired=pair(0.0, 1.0, 2.0)), "compared time"),
        ("evaluate", {**report(), "task": "another"}, "about another task, another"),
        ("evaluate", report(seconds=Seconds(check=float("nan"))), "negative, or none"),
        ("evaluate", report(seconds=Seconds(benchmark=-3600.0)), "negative, or none"),
        ("check", report(score=None, seconds=Seconds(other=float("inf"))), "negative, or none"),
        ("evaluate", scored(p20=float("nan")), "negative, or none"),
        ("evaluate", scored(ratio_p80=-1.0), "negative, or none"),
        ("evaluate", scored(baselines={"library": float("nan")}), "negative, or none"),
        ("remeasure", report(paired=pair(1.0, 1.0, 1.0, rounds={"small": -4})), "negative, or"),
        ("evaluate", inaccurate(-1.0), "negative, or none"),
        ("evaluate", report(score=twice()), "scored twice"),
        ("breadth", elsewhere(ratio=-1.0), "not a positive number"),
        ("breadth", elsewhere(p20=float("nan")), "negative, or none"),
        ("evaluate", deep(), "nested too deep"),
        ("evaluate", {**report(), "x": [0] * 200_000}, "more than 100,000 values"),
    ],
)
def test_a_contradiction_is_no_report(op: str, answer: Any, words: str) -> None:
    told = answer_to(QUESTIONS[op], "t", answer)
    assert told.verdict is Verdict.HARNESS_ERROR and told.score is None and told.paired is None
    assert words in told.feedback.summary and told.candidate == CANDIDATE.id
