"""A run that was stopped while the gate measured says so, and not that something failed."""

from dataclasses import replace

import pytest

from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.ui import formats
from avo_tui.ui.panes.output import Outcome, output_lines, stage_spans
from avo_tui.ui.session.step_view import StageView

SCORE = Score(
    unit="TFLOP/s",
    reference_baseline="cudnn",
    configurations=(ConfigurationScore(name="a", throughput=2.0, p20=2, p80=2, ratio=1.1),),
)
STOPPED = Outcome(
    stages=(StageView("benchmark", "done"), StageView("remeasure", "failed", index=7, count=8)),
    report=EvaluationReport(
        task="t",
        candidate="c",
        verdict=Verdict.CORRECT,
        feedback=Feedback(summary="correct"),
        score=SCORE,
    ),
    score=SCORE,
)


def shown(outcome: Outcome) -> str:
    heading = "".join(text for text, _ in stage_spans(outcome, 12))
    return "\n".join([heading, *(row.plain for row in output_lines(outcome, 200))])


def test_what_was_stopped_is_not_shown_as_failed() -> None:
    text = shown(STOPPED)
    assert "measure again ■" in text and "✕" not in text
    assert "ended before the gate decided" in text


def test_what_was_decided_or_failed_says_nothing_of_it() -> None:
    decision = GateDecision(accepted=False, gate="strict", reason="-0.4% against v3")
    for outcome in (
        replace(STOPPED, decision=decision),
        replace(STOPPED, rejected="the engine could not measure"),
    ):
        assert "ended before the gate decided" not in shown(outcome)
    assert "−0.4% against v3" in shown(replace(STOPPED, decision=decision))


@pytest.mark.parametrize(
    "text, true",
    [
        ("-0.4% against v3 (-1.2% to +0.3%)", "−0.4% against v3 (−1.2% to +0.3%)"),
        ("full-256 and causal-4k, v3-v5, 2026-03-02", "full-256 and causal-4k, v3-v5, 2026-03-02"),
        ("asked for -.5, ALGORITHM 0→-2", "asked for −.5, ALGORITHM 0→−2"),
        ("x-1 --json -O3 a[i]-1 f(x)-2 3 - 4", "x-1 --json -O3 a[i]-1 f(x)-2 3 - 4"),
        ("", ""),
    ],
)
def test_a_minus_stands_before_numbers_alone(text: str, true: str) -> None:
    assert formats.minus(text) == true
