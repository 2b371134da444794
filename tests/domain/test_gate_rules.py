"""When a candidate becomes a version, and when an audit takes that back."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain import student_t
from avo_tui.domain.events import GateDecided, SessionCreated
from avo_tui.domain.evidence import (
    ERROR,
    LOOKS,
    Comparison,
    Ledger,
    budget_share,
    look_of,
    look_share,
    next_look,
)
from avo_tui.domain.gate_rules import (
    FINAL,
    MARGIN_FLOOR,
    GateDecision,
    GateName,
    Rival,
    decide,
    judge_audit,
    scores_bear_out,
)
from avo_tui.domain.score import PairedMeasurement
from avo_tui.domain.state import SessionState
from tests.session_life import score, session_record

gains = st.floats(0.5, 2.0)


def paired(*middles: float) -> PairedMeasurement:
    """A replicate with these ratios on c0, c1 …; of rounds that all agree."""
    rows = {f"c{i}": (middle, middle, middle) for i, middle in enumerate(middles)}
    return PairedMeasurement(configurations=rows, rounds=dict.fromkeys(rows, 20))


def asked(gate: GateName, replicates: list[PairedMeasurement], begun: int = 0) -> GateDecision:
    """What a gate says as the replicates come, one by one; fails where it wants more of them."""
    ledger = Ledger([])
    comparison = ledger.begin("a" * 64, "b" * 64, "here", claims=gate != "paper")
    for count in range(max(begun, 1), len(replicates) + 1):
        comparison = comparison.replaced(replicates=tuple(replicates[:count]))
        decision = decide(gate, Rival(3, score(1.0)), comparison, ledger, begun)
        if decision is not None:
            return decision
    raise AssertionError(f"{gate} asks for more than {len(replicates)} replicates")


@given(gains, st.lists(st.floats(-0.05, 0.05), min_size=8, max_size=8))
def test_strict_accepts_what_is_above_the_margin_it_states(
    middle: float, noise: list[float]
) -> None:
    decision = asked("strict", [paired(middle * math.exp(x)) for x in noise])
    assert decision.gain is not None and decision.margin is not None
    assert decision.margin >= MARGIN_FLOOR or decision.margin == pytest.approx(MARGIN_FLOOR)
    if decision.accepted:
        assert decision.gain >= decision.margin - 1e-9
    assert decision.accepted == (decision.outcome == "accepted")
    assert decision.remeasured and decision.reference == 3 and "v3" in decision.reason
    assert decision.interval is not None
    low, high = decision.interval
    assert low <= decision.gain <= high
    assert decision.rounds == 20 * decision.replicates
    if decision.replicates < LOOKS[0]:
        assert decision.outcome == "refused", "one pair of processes shows no gain"


def test_a_clear_case_takes_two_pairs_and_a_clear_loser_one() -> None:
    clear = asked("strict", [paired(1.30), paired(1.31)])
    assert clear.accepted and clear.replicates == 2
    assert asked("strict", [paired(0.80)]).outcome == "refused"


def test_one_pair_refuses_only_what_is_far_slower() -> None:
    """A refusal is for good, and one pair does not show how much processes differ."""
    slower = asked("strict", [paired(0.954), paired(0.954)])
    assert slower.outcome == "refused" and slower.replicates == 2
    assert "1% of cases" in slower.reason


def test_a_gain_within_its_uncertainty_is_measured_further_then_unclear() -> None:
    """Alternating far apart: the mean is +1%, and nobody can say so."""
    wild = [paired(1.06 if i % 2 else 0.96) for i in range(32)]
    first = asked("strict", wild)
    assert first.outcome == "unclear" and "unclear" in first.reason
    told = re.search(r"\+([0-9.]+)% after these 2 pairs, about \+([0-9.]+)% after 4", first.reason)
    assert told and float(told[1]) > float(told[2]) > 0.5, "what is asked for now, and next"
    assert "2 of at most 32 pairs are measured" in first.reason and "will not pass" in first.reason
    again = asked("strict", wild, begun=first.replicates)
    assert again.replicates == next_look(first.replicates), "a second submission adds one look"
    slight = asked("strict", [paired(1.012 if i % 2 else 1.018) for i in range(32)])
    assert slight.accepted and slight.replicates > LOOKS[0]


@given(st.floats(1.0, 1.03), st.lists(st.floats(-0.01, 0.01), min_size=8, max_size=8))
def test_the_bound_that_decides_is_lower_than_that_of_95_per_cent(
    middle: float, noise: list[float]
) -> None:
    """The gate's own bound is lower than the 95% interval's; above 0 exactly where it accepts."""
    decision = asked("strict", [paired(middle + n) for n in noise])
    assert decision.gain is not None and decision.interval is not None
    if decision.lowest is None:
        assert look_of(decision.replicates) is None
        return
    assert decision.lowest < decision.interval[0]
    assert decision.accepted == (decision.lowest >= 0 and decision.gain >= MARGIN_FLOOR)
    assert "95%: " in decision.reason


def _comparisons(*pairs: tuple[float, float], first: int) -> list[Comparison]:
    """Earlier comparisons under the same conditions, of two replicates each."""
    return [
        Comparison(
            number=number,
            candidate=f"{number:064x}",
            against="b" * 64,
            conditions="here",
            error=3e-4,
            replicates=tuple(paired(m) for m in pair),
        )
        for number, pair in enumerate(pairs, first)
    ]


@pytest.mark.parametrize(
    ("outcome", "middles", "before", "since"),
    [
        ("refused", [0.99, 0.992], (1.0005, 0.9995), (1.06, 0.94)),
        ("unclear", [1.02, 1.025, 1.03, 1.031] * 2, (1.06, 0.94), (1.0005, 0.9995)),
    ],
)
def test_the_same_replicates_are_not_judged_twice(
    outcome: str, middles: list[float], before: tuple[float, float], since: tuple[float, float]
) -> None:
    """What other candidates measured meanwhile changes the assumed spread, not what was said."""
    comparison = Comparison(
        number=50,
        candidate="a" * 64,
        against="b" * 64,
        conditions="here",
        error=3e-4,
        replicates=tuple(paired(m) for m in middles),
    )
    rival, count = Rival(3, score(1.0)), len(middles)
    earlier = _comparisons(*[before] * 8, first=1)
    decision = decide("strict", rival, comparison, Ledger([*earlier, comparison]))
    assert decision is not None and decision.outcome == outcome
    state = SessionState.begin(SessionCreated(seq=1, session=session_record()))
    state.comparisons[50] = comparison
    state.apply(GateDecided(seq=2, step=1, attempt=1, decision=decision))
    comparison = state.comparisons[50]
    later = [*earlier, comparison, *_comparisons(*[since] * 12, first=51)]
    again = decide("strict", rival, comparison, Ledger(later), begun=count)
    if outcome == "refused" and count >= FINAL:
        assert again is not None and again.outcome == "refused"
    else:
        assert again is None, "it is measured further before anything is said"


@given(gains)
def test_paper_takes_equals_and_the_others_do_not(ratio: float) -> None:
    equal = [paired(1.0)] * 32
    assert asked("paper", equal).accepted
    assert not asked("strict", equal).accepted
    assert not asked("vector", equal).accepted


@given(st.lists(gains, min_size=8, max_size=8))
def test_what_strict_accepts_paper_accepts(middles: list[float]) -> None:
    replicates = [paired(m) for m in middles]
    decision = asked("strict", replicates)
    if decision.accepted:
        assert asked("paper", replicates[: decision.replicates]).accepted or (
            math.prod(middles[:2]) < 1  # paper looks at two pairs only
        )


def test_vector_refuses_one_configuration_that_fell() -> None:
    decision = asked("vector", [paired(1.2, 0.95)] * 8)
    assert not decision.accepted
    assert "c1 fell by 5.00%" in decision.reason
    assert asked("vector", [paired(1.2, 1.0)] * 8).accepted


def test_vector_names_the_bound_and_what_would_settle_the_nearest_configuration() -> None:
    decision = asked("vector", [paired(1.01 * 1.02 ** (-1) ** n, 1.0) for n in range(8)])
    assert decision.outcome == "unclear" and decision.lowest is not None
    assert "on c0, +" in decision.reason and "the gain asked for is +" in decision.reason
    accepted = asked("vector", [paired(1.2, 1.0)] * 8)
    assert accepted.accepted and accepted.lowest is not None and accepted.lowest > 0


def test_a_refusal_stands_from_eight_pairs_on() -> None:
    """After fewer the same source may be submitted again: a busy minute does not decide."""
    counts, replicates = [], [paired(0.9)] * 2
    held: GateDecision | None = None
    for _ in range(5):
        comparison = Comparison(
            number=1,
            candidate="a" * 64,
            against="b" * 64,
            error=3e-4,
            replicates=tuple(replicates),
            held=None if held is None else "refused",
            held_at=0 if held is None else held.replicates,
        )
        begun = len(replicates) if held is not None else 0
        while (
            held := decide("strict", Rival(3, score(1.0)), comparison, Ledger([comparison]), begun)
        ) is None:
            replicates.append(paired(0.9))
            comparison = comparison.replaced(replicates=tuple(replicates))
        assert held.outcome == "refused"
        assert ("adds pairs" in held.reason) is (held.replicates < FINAL)
        counts.append(held.replicates)
    assert counts == [2, 4, 8, 8, 8]


@pytest.mark.parametrize(
    ("ratios", "outcome", "replicates"),
    [
        ([1.10, 1.101], "holds", 2),
        ([0.90, 0.901], "fails", 2),
        ([1.02, 0.985, 1.03, 0.99], "unclear", 4),
    ],
)
def test_an_audit_holds_fails_or_is_unclear(
    ratios: list[float], outcome: str, replicates: int
) -> None:
    ledger = Ledger([])
    comparison = ledger.begin("a" * 64, "b" * 64, "here", "audit", claims=False)
    finding = judge_audit(comparison, ledger, 3)
    for ratio in ratios:
        assert finding is None
        more = (*comparison.replicates, paired(ratio))
        comparison = comparison.replaced(replicates=more)
        finding = judge_audit(comparison, ledger, 3)
    assert finding is not None
    assert (finding.outcome, finding.replicates, finding.reference) == (outcome, replicates, 3)
    assert Ledger([comparison]).tests == [], "an audit spends nothing of the error budget"
    assert Ledger([comparison]).budget_left == ERROR


def test_a_decision_says_what_it_rests_on() -> None:
    decision = asked("strict", [paired(1.30), paired(1.31)])
    assert decision.basis.startswith("2 pairs of fresh processes, 40 rounds · asked for +")
    assert "of the run's 5% left" in decision.basis


def test_the_shares_of_the_error_budget_add_up() -> None:
    assert math.fsum(budget_share(k) for k in range(1, 20_000)) < ERROR
    assert math.fsum(budget_share(k) for k in range(1, 20_000)) > 0.98 * ERROR
    assert math.fsum(look_share(k) for k in range(1, 10_000)) == pytest.approx(1, abs=1e-3)
    looks = [n for n in range(1, 41) if look_of(n) is not None]
    assert looks == [2, 4, 8, 16, 24, 32, 40]
    assert [look_of(n) for n in looks] == [1, 2, 3, 4, 5, 6, 7]
    assert all(look_of(next_look(n)) for n in range(40))


@given(st.floats(0.5, 200), st.floats(1e-9, 0.5))
def test_students_quantile_is_the_inverse_of_its_tail(df: float, probability: float) -> None:
    assert student_t.tail(student_t.quantile(probability, df), df) == pytest.approx(probability)


@pytest.mark.parametrize(
    ("t", "df", "upper"),
    [(2.776445, 4, 0.025), (636.6192, 1, 0.0005), (5.693820, 10, 1e-4), (2.0, 3, 0.06966298)],
)
def test_students_tail_is_that_of_the_tables(t: float, df: float, upper: float) -> None:
    assert student_t.tail(t, df) == pytest.approx(upper, rel=1e-5)
    assert student_t.tail(-t, df) == pytest.approx(1 - upper)


def test_scores_that_do_not_bear_a_gain_out() -> None:
    decision = asked("strict", [paired(1.30), paired(1.31)])
    assert scores_bear_out(decision, score(1.3), score(1.0))
    assert scores_bear_out(decision, score(1.25), score(1.0))
    assert not scores_bear_out(decision, score(1.0), score(1.0)), "the gain is of the gate alone"
    assert not scores_bear_out(decision, score(2.0), score(1.0)), "the score is too good"


@given(gains, gains)
def test_places_changed_measure_the_inverse(first: float, second: float) -> None:
    one = paired(first, second)
    assert one.reversed().gain == pytest.approx(1 / one.gain)
    assert one.reversed().noise == pytest.approx(one.noise)
    assert one.reversed().standard_error() == pytest.approx(one.standard_error())
