"""Answers of workers that cannot be reports: each becomes a failure of the harness, with words."""

from __future__ import annotations

from typing import Any

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.workers.sound_report import sound_report

CANDIDATE = Candidate(files={"k.cpp": "int x;"})


def report(ratio: float = 1.2, **fields: Any) -> dict[str, Any]:
    one = ConfigurationScore(name="small", throughput=9.0, p20=8.0, p80=10.0, ratio=ratio)
    score = Score(unit="GFLOP/s", reference_baseline="library", configurations=(one,))
    given = {"verdict": Verdict.CORRECT, "score": score, **fields}
    made = EvaluationReport(
        task="t", candidate=CANDIDATE.id, feedback=Feedback(summary=""), **given
    )
    return made.model_dump()


def pair(*row: float) -> PairedMeasurement:
    return PairedMeasurement(configurations={"small": row})


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
    assert sound_report(op, "t", CANDIDATE, answer).model_dump() == answer


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
    ],
)
def test_a_contradiction_is_no_report(op: str, answer: Any, words: str) -> None:
    told = sound_report(op, "t", CANDIDATE, answer)
    assert told.verdict is Verdict.HARNESS_ERROR and told.score is None and told.paired is None
    assert words in told.feedback.summary and told.candidate == CANDIDATE.id
