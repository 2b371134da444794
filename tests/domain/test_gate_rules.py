"""When a candidate becomes a version, and when an audit takes that back."""

import math
import re
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain import student_t
from avo_tui.domain.events import GateDecided, SessionCreated
from avo_tui.domain.evidence import (
    ERROR,
    LOOKS,
    Comparison,
    Estimate,
    Ledger,
    budget_share,
    estimate,
    log_gains,
    look_of,
    look_share,
    next_look,
    prior_of,
)
from avo_tui.domain.gate_rules import (
    FINAL,
    HOPE,
    LOST,
    MARGIN_FLOOR,
    GateDecision,
    GateName,
    Rival,
    decide,
    judge_audit,
    may_settle,
    scores_bear_out,
)
from avo_tui.domain.score import PairedMeasurement, Score
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
    last = [asked("strict", wild, begun=count).reason for count in (16, 24)]
    assert "% after these 24 pairs, about +" in last[0] and "% after 32" in last[0]
    assert last[1].endswith("% after these 32 pairs"), "no look is left"
    for replicates, most, may in (
        (2, 3, False), (2, 4, True), (16, 23, False), (24, 32, True), (32, 99, False),
    ):  # fmt: skip
        held = first.replaced(replicates=replicates)
        assert may_settle(held, most) is may
        assert not may_settle(held.replaced(outcome="refused"), most) and not may_settle(None, most)
    slight = asked("strict", [paired(1.012 if i % 2 else 1.018) for i in range(32)])
    assert slight.accepted and slight.replicates > LOOKS[0]


@given(st.floats(1.0, 1.03), st.lists(st.floats(-0.01, 0.01), min_size=8, max_size=8))
def test_the_bound_that_decides_is_lower_than_that_of_95_per_cent(
    middle: float, noise: list[float]
) -> None:
    """The gate's own bound is lower than the 95% interval's; above 0 exactly where it accepts."""
    decision = asked("strict", [paired(middle + n) for n in noise])
    assert decision.gain is not None and decision.interval is not None
    assert decision.interval[0] <= decision.gain <= decision.interval[1]
    assert decision.remeasured and decision.reference == 3 and "v3" in decision.reason
    assert decision.rounds == 20 * decision.replicates
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
        while (  # ends: by the number of pairs
            held := decide("strict", Rival(3, score(1.0)), comparison, Ledger([comparison]), begun)
        ) is None:
            replicates.append(paired(0.9))
            assert len(replicates) < 20, "it never ends"
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
    bare = decision.replaced(margin=None, error=None, budget_left=None)
    assert bare.basis == "2 pairs of fresh processes, 40 rounds"
    assert bare.replaced(replicates=1, margin=0.0).basis == "1 pair of fresh processes, 40 rounds"
    assert bare.replaced(replicates=0).basis == ""
    assert bare.over == f"{bare.gain:+.2%} over v3" and bare.replaced(gain=None).over == ""
    timed = bare.replaced(spent={"samples": 3.0, "start": 0.04, "compile": 1.0})
    assert timed.time == "2 pairs measured in 4.0 s: samples 3.0, compile 1.0" and bare.time == ""


def test_the_shares_of_the_error_budget_add_up() -> None:
    assert math.fsum(budget_share(k) for k in range(1, 20_000)) < ERROR
    assert math.fsum(budget_share(k) for k in range(1, 20_000)) > 0.98 * ERROR
    assert math.fsum(look_share(k) for k in range(1, 10_000)) == pytest.approx(1, abs=1e-3)
    due = {2: 1, 4: 2, 8: 3, 16: 4, 24: 5, 32: 6, 40: 7}
    assert {n: look for n in range(48) if (look := look_of(n)) is not None} == due
    assert all(next_look(n) == min(d for d in due if d > n) for n in range(40))


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
    assert student_t.tail(math.inf, df) == 0 and student_t.tail(-math.inf, df) == 1
    assert student_t.tail(0.0, df) == student_t.tail(-0.0, df) == 0.5
    assert student_t.quantile(upper, df) == pytest.approx(t, rel=1e-5)


@pytest.mark.parametrize("wrong", [0.0, -0.1, 0.51, 1.0])
def test_students_quantile_refuses_what_is_no_tail(wrong: float) -> None:
    assert student_t.quantile(0.5, 3) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match=r"above 0 and at most 0\.5"):
        student_t.quantile(wrong, 3)
    with pytest.raises(ValueError, match="must be positive"):
        student_t.tail(1.0, min(0.0, wrong - 0.51))


measurements = st.lists(
    st.tuples(st.floats(-0.08, 0.08), st.floats(0.0, 0.06)), min_size=1, max_size=8
)
"""(log gain, half of what rounds span from p20 to p80) of each replicate."""


def spread(of: list[tuple[float, float]]) -> tuple[PairedMeasurement, ...]:
    """Replicates of two configurations, of which the second gains half as much."""
    return tuple(
        PairedMeasurement(
            configurations={
                name: (
                    math.exp(g * part) * (1 - h),
                    math.exp(g * part),
                    math.exp(g * part) * (1 + h),
                )
                for name, part in (("c0", 1.0), ("c1", 0.5))
            },
            rounds={"c0": 20, "c1": 20},
        )
        for g, h in of
    )


@given(measurements, st.lists(measurements, max_size=4), st.sampled_from(["", "c0", "c1"]))
def test_an_estimate_pools_what_is_known_of_the_spread(
    own: list[tuple[float, float]], others: list[list[tuple[float, float]]], name: str
) -> None:
    """The same sums, written down a second time from the description."""
    earlier = [
        Comparison(number=n, candidate="a" * 64, against="b" * 64, error=0.1, replicates=spread(of))
        for n, of in enumerate(others, 1)
    ]
    prior, replicates, squares, degrees = prior_of(earlier, name), spread(own), 0.0, 0
    times, known = 2.0, 2.0
    for comparison in earlier:
        logs = log_gains(comparison.replicates, name)
        if len(logs) > 1:
            scatter = statistics.variance(logs) * (len(logs) - 1)
            squares, degrees = squares + scatter, degrees + len(logs) - 1
            within = [r.standard_error(name) ** 2 for r in comparison.replicates]
            if sum(within):
                times, known = times + scatter / statistics.fmean(within), known + len(logs) - 1
    missing = max(0, 2 - degrees)
    assert prior.variance == pytest.approx((squares + missing * 1e-4) / (degrees + missing))
    assert prior.inflation == pytest.approx(max(1.0, times / known))

    logs = log_gains(replicates, name)
    factor = {"": 0.75, "c0": 1.0, "c1": 0.5}[name]
    assert logs == pytest.approx([g * factor for g, _ in own])
    within_own = statistics.fmean(r.standard_error(name) ** 2 for r in replicates)
    pooled, free = statistics.pvariance(logs) * len(logs) + 2 * prior.variance, len(logs) + 1
    if within_own * prior.inflation >= prior.variance:
        pooled, free = pooled + 4 * within_own * prior.inflation, free + 4
    whole = estimate(replicates, prior, name)
    assert whole.replicates == len(own) and whole.degrees == free
    assert whole.mean == pytest.approx(statistics.fmean(logs), abs=1e-12)
    assert whole.error == pytest.approx(math.sqrt(max(pooled / free, within_own) / len(logs)))
    for chance in (0.3, 0.01):
        half = student_t.quantile(chance, free) * whole.error
        assert whole.upper(chance) - whole.mean == pytest.approx(half)
        assert whole.mean - whole.lower(chance) == pytest.approx(half)


def asked_for(one: Estimate, error: float, looks: list[int]) -> float:
    """Smallest log gain that one of these looks accepts, at the scatter so far."""
    needed = [
        student_t.quantile(error * look_share(look), one.degrees + n - one.replicates)
        * one.error
        * math.sqrt(one.replicates / n)
        for n in looks
        if (look := look_of(n)) is not None
    ]
    return max(math.log1p(MARGIN_FLOOR), min(needed, default=math.inf))


def promised(gate: GateName, seen: list[PairedMeasurement], begun: int) -> tuple[str, float] | None:
    """(outcome, margin as a log gain) by the rules as docs/evaluation.md has them; None: go on."""
    names = [""] if gate == "strict" else ["c0", "c1"]
    each = [estimate(seen, prior_of([]), name) for name in names]
    count, error, floor = len(seen), budget_share(1) / len(names), math.log1p(MARGIN_FLOOR)
    limit = min(32, max(8, next_look(begun)))
    now = [asked_for(one, error, [count]) for one in each]
    later = [
        asked_for(one, error, [n for n in (2, 4, 8, 16, 24, 32) if count < n <= limit])
        for one in each
    ]
    fell = [one.mean < -floor and one.upper(0.05) < 0 and count > 1 for one in each]
    shown = [asked for one, asked in zip(each, now, strict=True) if one.mean >= asked]
    if shown and not (gate == "vector" and any(fell)):
        return "accepted", shown[0]
    if begun and count < min(32, next_look(begun)):
        return None
    if gate == "vector" and any(fell):
        return "refused", 0.0
    enough = count > 1 or gate == "vector" or each[0].mean < -0.1
    if enough and all(one.upper(LOST) < floor for one in each):
        return "refused", floor
    hope = any(one.upper(HOPE) >= asked for one, asked in zip(each, later, strict=True))
    if count < 2 or (count < limit and hope):
        return None
    return "unclear", min(now + later if gate == "strict" else later)


@settings(max_examples=150)
@pytest.mark.parametrize("gate", ["strict", "vector"])
@given(
    st.lists(st.tuples(st.floats(-0.03, 0.03), st.floats(0, 0.02)), min_size=32, max_size=32),
    st.floats(-0.15, 0.1),
    st.sampled_from([0, 0, 2, 5, 8, 16, 24]),
)
def test_a_gate_decides_by_the_numbers_that_it_promises(
    gate: GateName, rows: list[tuple[float, float]], gain: float, begun: int
) -> None:
    """The vector gate parts its error among the configurations, and holds them apart."""
    replicates = list(spread([(gain + g, half) for g, half in rows]))
    decision = asked(gate, replicates, begun)
    for count in range(max(begun, 1), decision.replicates):
        assert promised(gate, replicates[:count], begun) is None
    now = promised(gate, replicates[: decision.replicates], begun)
    assert now is not None and decision.margin is not None
    assert decision.outcome == now[0] and decision.margin == pytest.approx(math.expm1(now[1]))
    if now[0] == "refused":
        assert ("adds pairs" in decision.reason) == (decision.replicates < FINAL)


def test_a_candidate_that_did_not_run_is_refused() -> None:
    gone = PairedMeasurement(configurations={"c0": (0.0, 0.0, 0.0)})
    assert asked("strict", [gone]).outcome == "refused"
    assert estimate([gone], prior_of([])).mean == -math.inf
    with pytest.raises(ValueError, match="no replicates"):
        estimate([], prior_of([]))


def test_a_ledger_tells_of_the_latest_comparisons_with_a_spread() -> None:
    held = _comparisons(*[(1.0, 1.01)] * 14, first=1)
    held[12:12] = [held[0].replaced(number=40, replicates=(paired(1.0),))]
    held[3:3] = [held[0].replaced(number=41, conditions="elsewhere")]
    assert [c.number for c in Ledger(held).telling("here", 13)] == [14, *range(12, 1, -1)]
    assert [c.number for c in Ledger(held).telling("elsewhere")] == [41]
    assert Ledger(held).budget_left == pytest.approx(ERROR * 200 / 216)
    parts = {"compile": 1.5, "samples": 4.0}
    twice = held[0].replaced(replicates=(paired(1.0).replaced(parts=parts),) * 2)
    assert list(twice.spent().items()) == [("samples", 8.0), ("compile", 3.0)]


@given(st.floats(1.2, 2.0), st.floats(0, 0.05), st.floats(0, 0.05), st.floats(0.5, 2.0))
def test_scores_that_do_not_bear_a_gain_out(
    gain: float, ours: float, theirs: float, before: float
) -> None:
    """They may differ by 5%, thrice the noise of both and half of the gain's interval."""
    decision = asked("strict", [paired(gain), paired(gain * 1.01)])
    assert decision.gain is not None and decision.interval is not None
    low, high = map(math.log1p, decision.interval)
    rival = noisy_score(before, theirs)
    allowed = 0.05 + 3 * (ours + theirs) + (high - low) / 2
    for off, borne in ((0.98, True), (-0.98, True), (1.02, False), (-1.02, False)):
        new = noisy_score(before * (1 + decision.gain) * math.exp(off * allowed), ours)
        assert scores_bear_out(decision, new, rival) is borne
    nothing = score(1.0).replaced(configurations=())
    assert scores_bear_out(decision, nothing, rival) and scores_bear_out(decision, new, nothing)


def noisy_score(ratio: float, noise: float) -> Score:
    """Of one configuration, whose ratio spreads by this much to both sides."""
    (one,) = score(1.0).configurations[:1]
    ends = {"ratio_p20": ratio * (1 - noise), "ratio_p80": ratio * (1 + noise)}
    return score(1.0).replaced(configurations=(one.replaced(ratio=ratio, **ends),))


def test_gains_are_told_from_one_pair_on() -> None:
    ledger = Ledger([_comparisons((1.1, 1.2), first=1)[0].replaced(replicates=(paired(1.1, 1.2),))])
    told = ledger.gains(f"{1:064x}", {"b" * 64: 4})
    assert told is not None and (told.version, told.pairs) == (4, 1)
    assert [told.gains[name][0] for name in ("c0", "c1")] == pytest.approx([0.1, 0.2])
    gain, low, high = told.whole
    assert low < gain < high and gain == pytest.approx(math.sqrt(1.32) - 1)
    assert ledger.gains("c" * 64, {"b" * 64: 4}) is None and ledger.gains(f"{1:064x}", {}) is None


@given(gains, gains)
def test_places_changed_measure_the_inverse(first: float, second: float) -> None:
    one = paired(first, second)
    assert one.reversed().gain == pytest.approx(1 / one.gain)
    assert one.reversed().noise == pytest.approx(one.noise)
    assert one.reversed().standard_error() == pytest.approx(one.standard_error())
