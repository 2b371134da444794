"""The error beside the library's, and the speed on other inputs, stand wherever a score does."""

from collections.abc import Callable

import pytest

from avo_tui.cli.queries import _score_table
from avo_tui.domain.base import now
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.report import as_text
from avo_tui.export import git, kernel, page
from avo_tui.operators.toolbox.report_text import score_table
from avo_tui.ui.panes.scores import benchmark_lines

ONE = ConfigurationScore(name="small", throughput=9.0, p20=8.0, p80=10.0, ratio=1.1)
OLD = Score(unit="GFLOP/s", reference_baseline="torch", configurations=(ONE,))
ELSEWHERE = {"small rising": 0.4081, "n8 normal": 1.0, "small peaked": 1.19}
SCORE = OLD.replaced(error_ratios={"outliers": 2.4, "normal": 1.062}, breadth=ELSEWHERE)
ERROR = "error 2.40 × the library's (outliers), 1.06 × (normal)"
BREADTH = "other inputs: worst 0.408 × torch, at small rising, median 1, 2 of 3 above 0.95"


def version(score: Score) -> Version:
    gate = GateDecision(gate="seed", accepted=True, reason="the first")
    return Version(
        number=0, parent=None, step=0, candidate="a" * 64, score=score, gate=gate, author="seed",
        created=now(),
    )  # fmt: skip


def report(score: Score) -> EvaluationReport:
    return EvaluationReport(
        task="t", candidate="a" * 64, verdict=Verdict.CORRECT, feedback=Feedback(summary=""),
        score=score,
    )  # fmt: skip


SHOWN: dict[str, Callable[[Score], str]] = {
    "avo evaluate": lambda score: as_text(report(score)),
    "an agent's report": score_table,
    "the output pane": lambda score: "\n".join(row.plain for row in benchmark_lines(score, 120)),
    "READMEs of exports": lambda score: kernel.score_table(version(score)),
    "commits": lambda score: git._score(version(score)),
    "the page": page._score,
}


@pytest.mark.parametrize("where", SHOWN)
def test_they_stand_beside_a_score(where: str) -> None:
    shown, old = (SHOWN[where](score).replace("&#x27;", "'") for score in (SCORE, OLD))
    assert ERROR in shown and BREADTH in shown
    assert "the library's" not in old and "other inputs" not in old, "an old record has none"


def test_they_stand_in_avo_show(capsys: pytest.CaptureFixture[str]) -> None:
    _score_table(SCORE)
    assert f"{ERROR}\n{BREADTH}\n" in capsys.readouterr().out
