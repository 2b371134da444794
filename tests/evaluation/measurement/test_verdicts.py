"""What a wrong timed output is called: rounding just beyond the tolerance accuses nobody."""

import math

import pytest

from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.measurement.judge import Judgement
from avo_tui.evaluation.measurement.verdicts import (
    ANY_SHAPE,
    HINT_KEPT,
    HINT_ROUNDING,
    unsteady,
    wrong_result,
    wrong_when_timed,
)
from tests.evaluation.measurement.test_check_record import HIDDEN, PUBLIC


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


def test_of_a_hidden_case_neither_values_nor_place_are_told() -> None:
    judgement = Judgement(5.0, "out[0] is 1", "It is off.")
    told = wrong_result(PUBLIC, judgement).feedback
    assert (told.configuration, told.detail, told.hint) == ("small", "out[0] is 1", "")
    assert told.summary == "wrong result on small (inputs of the kind 'peaked')"
    kept = wrong_result(HIDDEN, judgement).feedback
    assert (kept.configuration, kept.hint) == (None, ANY_SHAPE)
    assert kept.detail == "It is off." and "odd rows" in kept.summary
    assert "1337" not in kept.summary
    assert "out[0] is 1; a race" in unsteady(PUBLIC, judgement).feedback.detail
    assert "out[0]" not in unsteady(HIDDEN, judgement).feedback.detail
