"""What became of an attempt, in words; filters and orders of the list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.attempts import (
    FILTERS,
    ORDERS,
    attempt_matches,
    attempt_name,
    attempt_reason,
    attempt_status,
    open_step,
    ordered,
    was_rejected,
)
from avo_tui.domain.records import Attempt, Step
from avo_tui.domain.verdict import Verdict
from tests.domain.test_stall_rules import at


def attempt(number: int = 1, step: int = 2, **update: object) -> Attempt:
    made = Attempt(step=step, number=number, parent=1, candidate="1" * 64, at=at(number))
    return made.model_copy(update=update)


COMMITTED = attempt(1, verdict=Verdict.CORRECT, aggregate=1.5, version=4)
WITHIN_NOISE = attempt(
    2,
    verdict=Verdict.CORRECT,
    aggregate=1.6,
    reason="+0.10% against v3, not more than the noise of 0.40%",
    title="Unroll by 4",
)
SLOWER = attempt(3, verdict=Verdict.CORRECT, aggregate=1.2, reason="-2.00% against v3: slower")
WRONG = attempt(4, verdict=Verdict.WRONG_RESULT, reason="wrong at causal 8k")
BROKEN = attempt(5, verdict=Verdict.COMPILE_ERROR, reason="does not compile")
ODD = attempt(6, verdict=Verdict.SUSPICIOUS, reason="above the measured ceiling")
RUNNING = attempt(7)
UNDECIDED = attempt(8, verdict=Verdict.CORRECT, aggregate=1.1)
CANCELLED = attempt(9, verdict=Verdict.CANCELLED, reason="aborted")
ALL = [COMMITTED, WITHIN_NOISE, SLOWER, WRONG, BROKEN, ODD, RUNNING, UNDECIDED, CANCELLED]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ALL),
        ("rejected", [WITHIN_NOISE, SLOWER, WRONG, BROKEN, ODD, CANCELLED]),
        ("committed", [COMMITTED]),
        ("wrong", [WRONG]),
        ("failed", [WRONG, BROKEN, ODD]),
        ("noise", [WITHIN_NOISE]),
        ("suspicious", [ODD]),
        ("running", [RUNNING, UNDECIDED]),
        ("rejected unroll", [WITHIN_NOISE]),
        ("REJECTED Slower", [SLOWER]),
        ("2.4", [WRONG]),
        ("rejected committed", []),
        ("nothing holds this", []),
    ],
)
def test_filters(text: str, kept: list[Attempt]) -> None:
    assert [a for a in ALL if attempt_matches(a, text, 2)] == kept


@pytest.mark.parametrize(
    ("reason", "within"),
    [
        ("-16.72% against v12, not more than the noise of 0.98%", False),
        ("-0.20% against v12, not more than the noise of 0.50%", True),
        ("+0.83% against v5 (2 pairs): unclear: too small for this machine's noise", True),
        ("-4.63% against v1 (1 pair): not 0.5% faster, whatever the noise", False),
    ],
)
def test_noise_is_what_the_gate_could_not_tell_from_no_gain(reason: str, within: bool) -> None:
    one = attempt(2, verdict=Verdict.CORRECT, aggregate=1.0, reason=reason)
    assert attempt_matches(one, "noise", 2) is within


def test_each_has_a_status_in_words() -> None:
    words = [attempt_status(a, 2) for a in ALL]
    assert words == [
        "v4",
        "rejected",
        "rejected",
        "wrong result",
        "compile error",
        "suspicious",
        "running",
        "undecided",
        "cancelled",
    ]


attempts = st.lists(st.sampled_from(ALL), unique_by=attempt_name)


@given(attempts, st.sampled_from(ORDERS))
def test_an_order_loses_nothing(some: list[Attempt], order: str) -> None:
    rows = ordered(some, order, 2)  # type: ignore[arg-type]
    assert sorted(map(attempt_name, rows)) == sorted(map(attempt_name, some))
    if order == "score":
        scores = [a.aggregate for a in rows]
        assert scores == sorted(scores, reverse=True)


def test_what_the_gate_did_not_decide_on_is_open_only_as_long_as_its_step() -> None:
    assert attempt_status(UNDECIDED, 2) == "undecided"
    assert attempt_status(UNDECIDED, 3) == attempt_status(UNDECIDED, None) == "no decision"
    assert "never submitted" in attempt_reason(UNDECIDED, None)
    assert attempt_status(RUNNING, None) == "interrupted"
    assert "its step ended" in attempt_reason(RUNNING, None)
    for one in (UNDECIDED, RUNNING):
        assert attempt_matches(one, "running", 2) and not attempt_matches(one, "running", None)
        assert not attempt_matches(one, "rejected", None)


def test_a_step_is_open_until_it_has_ended() -> None:
    step = Step(number=2, parent=1, started=at(0))
    assert open_step(2, {2: step}) == 2
    assert open_step(2, {2: step.model_copy(update={"ended": at(5)})}) is None
    assert open_step(0, {}) is None


@given(st.sampled_from(ALL), st.sampled_from([None, 2, 3]))
def test_each_is_a_version_or_rejected_or_open_or_left_behind(
    one: Attempt, step: int | None
) -> None:
    ways = [attempt_matches(one, word, step) for word in ("committed", "rejected", "running")]
    left = attempt_status(one, step) in {"no decision", "interrupted"} and not was_rejected(one)
    assert [*ways, left].count(True) == 1


@given(st.sampled_from(ALL), st.sampled_from(sorted(FILTERS)), st.text(max_size=8))
def test_another_word_keeps_no_more(one: Attempt, word: str, text: str) -> None:
    assert not attempt_matches(one, f"{word} {text}", 2) or attempt_matches(one, word, 2)
    assert attempt_matches(one, "rejected", 2) == was_rejected(one)
