"""What a report says in a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.report import EvaluationProgress, EvaluationReport, Seconds
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.report import ProgressLines, as_text


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


def test_a_verdict_that_says_all_is_said_once() -> None:
    plain = report(0.25).model_copy(update={"feedback": Feedback(summary="correct")})
    assert as_text(plain).splitlines()[0] == "t 0123456789: correct"
    assert as_text(report(0.25)).splitlines()[0] == "t 0123456789: correct — fine"


def test_the_time_of_prepare_stages_is_told_for_each_configuration_that_has_them() -> None:
    line = next(text for text in as_text(report(0.25, 0.0, 1.5)).splitlines() if "prepar" in text)
    assert "not counted" in line
    assert "c0 0.25 ms, c2 1.5 ms" in line
    assert "c1" not in line


def test_a_wait_is_told_again_when_who_is_waited_for_changes_or_after_a_minute() -> None:
    second = 0.0
    lines = ProgressLines(lambda: second)

    def waiting(who: str) -> bool:
        detail = f"cpu is in use by {who}; waited {second:.0f} s"
        return bool(lines.line(EvaluationProgress(stage="waiting", state="started", detail=detail)))

    told = []
    for step in range(100):
        second = 2.0 * step
        told.append(waiting("process 7" if second < 90 else "process 8"))
    assert [2 * step for step, was in enumerate(told) if was] == [0, 60, 90, 150]
    assert lines.line(EvaluationProgress(stage="check", state="finished", seconds=1.0))
    assert lines.line(EvaluationProgress(stage="waiting", state="finished")) == ""
    assert waiting("process 8"), "another wait"


def test_without_prepare_stages_nothing_is_said_of_them() -> None:
    assert "prepar" not in as_text(report(0.0))


@given(
    stages=st.fixed_dictionaries(
        {name: st.floats(0, 100) for name in ("compile", "check", "benchmark", "other")}
    ),
    cuts=st.dictionaries(
        st.sampled_from(("compile", "check", "benchmark")),
        st.lists(st.floats(0, 1), min_size=1, max_size=4),
    ),
)
def test_the_parts_of_an_evaluation_add_up_to_its_time(
    stages: dict[str, float], cuts: dict[str, list[float]]
) -> None:
    phases = {
        stage: {f"p{n}": stages[stage] * part / len(parts) for n, part in enumerate(parts)}
        for stage, parts in cuts.items()
    }
    seconds = Seconds(**stages, phases=phases, waiting=7.0, start_up=3.0)
    parts = seconds.parts()
    assert sum(parts.values()) == pytest.approx(seconds.total, abs=1e-6)
    assert list(parts.values()) == sorted(parts.values(), reverse=True)
    assert "waiting for the device 7.00 s more" in seconds.lines()[0]


def test_where_the_time_went_is_told() -> None:
    seconds = Seconds(
        compile=1.5, check=0.5, benchmark=3.0, phases={"benchmark": {"samples": 2.0, "idle": 1.0}}
    )
    text = as_text(report(0.0).replaced(seconds=seconds))
    assert (
        "5.00 s\n    benchmark samples 2.00, compile 1.50, benchmark idle 1.00, check 0.50" in text
    )
