"""What a report says in a terminal."""

from __future__ import annotations

from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.verdict import EvaluationReport, Feedback, Verdict
from avo_tui.evaluation.report import as_text


def report(*milliseconds: float) -> EvaluationReport:
    scores = tuple(
        ConfigurationScore(
            name=f"c{i}", throughput=1.0, p20=1.0, p80=1.0, ratio=2.0, prepare_milliseconds=ms
        )
        for i, ms in enumerate(milliseconds)
    )
    return EvaluationReport(
        task="t",
        candidate="0123456789",
        verdict=Verdict.CORRECT,
        feedback=Feedback(summary="fine"),
        score=Score(unit="TFLOP/s", reference_baseline="library", configurations=scores),
    )


def test_the_time_of_prepare_stages_is_told_for_each_configuration_that_has_them() -> None:
    line = next(text for text in as_text(report(0.25, 0.0, 1.5)).splitlines() if "prepar" in text)
    assert "not counted" in line
    assert "c0 0.25 ms, c2 1.5 ms" in line
    assert "c1" not in line


def test_without_prepare_stages_nothing_is_said_of_them() -> None:
    assert "prepar" not in as_text(report(0.0))
