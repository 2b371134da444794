"""What a wrong timed output is called: rounding just beyond the tolerance accuses nobody."""

import math

import pytest

from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.measurement.judge import Judgement
from avo_tui.evaluation.measurement.verdicts import HINT_KEPT, HINT_ROUNDING, wrong_when_timed


@pytest.mark.parametrize(
    ("error", "verdict", "hint"),
    [
        (1.07, Verdict.WRONG_RESULT, HINT_ROUNDING),
        (4.0, Verdict.WRONG_RESULT, HINT_ROUNDING),
        (4.1, Verdict.SUSPICIOUS, HINT_KEPT),
        (math.inf, Verdict.SUSPICIOUS, HINT_KEPT),
    ],
)
def test_the_size_of_the_error_decides(error: float, verdict: Verdict, hint: str) -> None:
    ruling = wrong_when_timed("full-256", Judgement(error, "out[0] is 1", "It is off."))
    assert ruling.verdict is verdict
    assert (ruling.feedback.hint, ruling.feedback.detail) == (hint, "out[0] is 1")


@pytest.mark.parametrize("error", [2.0, 9.0])
def test_what_must_not_be_told_is_kept_back(error: float) -> None:
    judgement = Judgement(error, "out[0] is 1", "It is off.")
    assert not wrong_when_timed("full-256", judgement, tell=False).feedback.detail
