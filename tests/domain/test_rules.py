"""Budget, gates, lineage, scores and candidates."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from avo_tui.domain import lineage, student_t
from avo_tui.domain.acceptance import (
    MARGIN_FLOOR,
    GateDecision,
    GateName,
    Rival,
    decide,
    decide_by_scores,
    scores_bear_out,
    worth_remeasuring,
)
from avo_tui.domain.auditing import judge_audit
from avo_tui.domain.budget import (
    Caps,
    Spend,
    cap_states,
    exhausted,
    hours_left,
    nearest,
    used,
)
from avo_tui.domain.candidate import Candidate, check_file_name
from avo_tui.domain.commands import Submit, parse_command
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
from avo_tui.domain.records import Version
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score, geomean
from avo_tui.domain.state import SessionState
from tests.session_life import score, session_record, version

amounts = st.floats(0, 1e6)
counts = st.integers(0, 10**6)
spends = st.builds(
    Spend,
    usd=amounts,
    input_tokens=counts,
    output_tokens=counts,
    cache_read_tokens=counts,
    requests=counts,
    evaluations=counts,
    seconds=amounts,
    steps=counts,
)
caps = st.builds(
    Caps,
    usd=st.none() | amounts,
    tokens=st.none() | counts,
    hours=st.none() | amounts,
    evaluations=st.none() | counts,
    steps=st.none() | counts,
)

# -- budget


@given(spends, spends)
def test_spends_add_and_subtract(a: Spend, b: Spend) -> None:
    total = a + b
    assert total == b + a
    assert total.tokens == a.tokens + b.tokens
    back = total - b
    assert back.tokens == a.tokens
    assert back.usd == pytest.approx(a.usd, abs=1e-6)


@given(caps, spends)
def test_a_cap_is_exhausted_when_nothing_is_left_of_it(limits: Caps, spend: Spend) -> None:
    states = cap_states(limits, spend)
    assert len(states) == sum(v is not None for v in limits.model_dump().values())
    over = [s for s in states if s.used >= s.cap]
    found = exhausted(limits, spend)
    assert found == (over[0] if over else None)
    close = nearest(limits, spend)
    assert (close is None) == (not states)
    if close is not None:
        assert all(s.fraction <= close.fraction for s in states)


@given(caps, spends, spends)
def test_more_spend_never_frees_a_cap(limits: Caps, spend: Spend, more: Spend) -> None:
    assume(exhausted(limits, spend) is not None)
    assert exhausted(limits, spend + more) is not None


def test_hours_count_running_time_only_and_forecast_by_pace() -> None:
    spend = Spend(seconds=7200, usd=4.0)
    assert used(spend, "hours") == 2
    state = cap_states(Caps(usd=10), spend)[0]
    assert hours_left(state, spend) == pytest.approx(3.0)
    assert hours_left(state, Spend()) is None
    assert hours_left(cap_states(Caps(hours=5), spend)[0], spend) == pytest.approx(3.0)
    assert cap_states(Caps(usd=0), Spend())[0].exhausted


@pytest.mark.parametrize("field", ["usd", "tokens", "hours", "evaluations", "steps"])
def test_a_cap_below_zero_is_refused(field: str) -> None:
    with pytest.raises(ValidationError):
        Caps(**{field: -1})


# -- gates

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
    again = asked("strict", wild, begun=first.replicates)
    assert again.replicates == next_look(first.replicates), "a second submission adds one look"
    slight = asked("strict", [paired(1.012 if i % 2 else 1.018) for i in range(32)])
    assert slight.accepted and slight.replicates > LOOKS[0]


def test_what_was_refused_stays_refused_without_a_measurement() -> None:
    slow = [paired(0.96), paired(0.962)] + [paired(1.2)] * 30
    first = asked("strict", slow[:2])
    assert first.outcome == "refused"
    assert asked("strict", slow, begun=first.replicates) == first


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
    if outcome == "refused":
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


@given(gains, gains)
def test_clear_losers_are_told_apart_by_their_scores(new: float, old: float) -> None:
    if not worth_remeasuring("strict", score(new), score(old)):
        decision = decide_by_scores("strict", score(new), Rival(3, score(old)))
        assert new < old and not decision.accepted and not decision.remeasured
    else:
        assert new > old * 0.9


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
    assert decide_by_scores("strict", score(0.5), Rival(3, score(1.0))).basis == ""


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


# -- scores


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_the_geomean_lies_between_its_values(values: list[float]) -> None:
    mean = geomean(values)
    assert min(values) * (1 - 1e-9) <= mean <= max(values) * (1 + 1e-9)
    assert geomean([v * 2 for v in values]) == pytest.approx(mean * 2)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_a_configuration_that_is_wrong_makes_the_geomean_zero(bad: float) -> None:
    assert geomean([1.0, bad]) == 0.0
    assert geomean([]) == 0.0


def test_a_score_without_configurations_is_worth_nothing() -> None:
    empty = Score(unit="GFLOP/s", reference_baseline="torch")
    assert not empty.correct
    assert (empty.aggregate, empty.geomean, empty.noise) == (0.0, 0.0, 0.0)


def test_noise_is_the_relative_half_width() -> None:
    row = ConfigurationScore(name="c", throughput=100, p20=98, p80=102, ratio=1.0)
    one = Score(unit="x", reference_baseline="b", configurations=(row,))
    assert one.noise == pytest.approx(0.02)
    assert one.ratio_to("b") == 0.0 and one.by_name("d") is None


# -- lineage


@st.composite
def trees(draw: st.DrawFn) -> dict[int, Version]:
    size = draw(st.integers(1, 25))
    versions = {}
    for number in range(size):
        parent = draw(st.integers(0, number - 1)) if number else None
        ratio = draw(st.sampled_from([0.5, 0.75, 1.0, 1.25]))
        versions[number] = version(number, number, 1, ratio).model_copy(update={"parent": parent})
    return versions


@given(trees(), st.data())
def test_a_line_goes_up_to_the_root(tree: dict[int, Version], data: st.DataObject) -> None:
    number = data.draw(st.sampled_from(sorted(tree)))
    path = lineage.line(tree, number)
    assert path[0].number == number and path[-1].parent is None
    assert all(a.parent == b.number for a, b in pairwise(path))
    rival = lineage.line_best(tree, number)
    assert rival in path
    assert all(v.aggregate <= rival.aggregate for v in path)
    assert all(v.number >= rival.number for v in path if v.aggregate == rival.aggregate)


@given(trees(), st.data())
def test_a_rewind_abandons_only_what_is_not_above_its_target(
    tree: dict[int, Version], data: st.DataObject
) -> None:
    head = data.draw(st.sampled_from(sorted(tree)))
    target = data.draw(st.sampled_from(sorted(tree)))
    left = lineage.abandoned_by(tree, head, target)
    kept = {v.number for v in lineage.line(tree, target)}
    assert kept.isdisjoint(left)
    assert {v.number for v in lineage.line(tree, head)} <= kept | set(left)
    assert lineage.abandoned_by(tree, head, head) == []


@given(trees())
def test_every_version_is_the_child_of_one(tree: dict[int, Version]) -> None:
    below = lineage.children(tree.values())
    assert sorted(n for numbers in below.values() for n in numbers) == sorted(tree)
    assert below[None] == [0]
    assert all(numbers == sorted(numbers) for numbers in below.values())
    top = lineage.best(tree.values())
    assert top is not None and all(v.aggregate <= top.aggregate for v in tree.values())


@given(st.floats(0.5, 2.0), st.floats(0.5, 2.0), st.floats(-0.1, 0.1))
def test_what_was_measured_in_turn_decides_over_two_runs(
    first: float, second: float, gain: float
) -> None:
    one, other = version(1, 1, 1, first), version(2, 2, 1, second)
    beside = GateDecision(
        gate="strict", accepted=True, reason="", reference=1, gain=gain, remeasured=True
    )
    in_turn = other.model_copy(update={"gate": beside})
    assert lineage.better(one, in_turn) is (in_turn if gain > 0 else one)
    assert lineage.best([in_turn, one]) is (in_turn if gain > 0 else one)
    # measured against another, or only once: the aggregates are what there is
    for changed in ({"reference": 0}, {"remeasured": False}):
        loose = other.model_copy(update={"gate": beside.model_copy(update=changed)})
        assert lineage.better(one, loose) is (loose if second > first else one)


def test_an_empty_lineage_has_no_best_and_an_unknown_number_is_a_key_error() -> None:
    assert lineage.best([]) is None
    with pytest.raises(KeyError):
        lineage.line({}, 1)


# -- candidates

sources = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_-]{0,8}\.(cpp|cu|h)", fullmatch=True),
    st.text(st.characters(codec="utf-8"), max_size=50),
    min_size=1,
    max_size=5,
)


@given(sources)
def test_a_candidate_is_its_content(files: dict[str, str]) -> None:
    one = Candidate(files=files)
    other = Candidate(files=dict(reversed(files.items())))
    assert one.id == other.id and one.canonical() == other.canonical()
    again = Candidate.model_validate_json(one.canonical())
    assert again == one and again.id == one.id
    name = next(iter(files))
    assert one.with_file(name, files[name] + "x").id != one.id
    assert one.with_file(name, files[name]).id == one.id


@given(sources)
def test_a_submitted_candidate_survives_the_inbox(files: dict[str, str]) -> None:
    command = Submit(candidate=Candidate(files=files), plan="é\x1b[0m")
    assert parse_command(command.model_dump_json()) == command


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../b", "./a", "a//b", ".hidden", "a/.git", "a\\b", "a\0b",
     "a/b/c/d", "x" * 121, "a b", "a\n", "a;b"],
)  # fmt: skip
def test_a_file_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        check_file_name(name)
    with pytest.raises(ValidationError):
        Candidate(files={name: ""})


@pytest.mark.parametrize("name", ["kernel.cpp", "a/b/c.h", "a-b_c.cu"])
def test_plain_names_are_taken(name: str) -> None:
    assert check_file_name(name) == name


def test_a_candidate_has_bounds() -> None:
    with pytest.raises(ValidationError, match="at least one"):
        Candidate(files={})
    with pytest.raises(ValidationError, match="at most 16"):
        Candidate(files={f"f{i}": "" for i in range(17)})
    with pytest.raises(ValidationError, match="the limit is"):
        Candidate(files={"a": "é" * (256 * 1024 + 1)})


@pytest.mark.parametrize(("unit", "ours", "theirs"), [("GFLOP/s", 30.0, 20.0), ("us", 20.0, 30.0)])
def test_a_ratio_is_a_speed_whatever_the_unit(unit: str, ours: float, theirs: float) -> None:
    one = ConfigurationScore(
        name="one", throughput=ours, p20=ours, p80=ours, ratio=1.5, baselines={"library": theirs}
    )
    score = Score(unit=unit, reference_baseline="library", configurations=(one,))
    assert score.ratio_to("library") == pytest.approx(1.5)
    assert score.speed_over(one, "library") == pytest.approx(1.5)
    assert score.speed_over(one, "another") == score.ratio_to("another") == 0.0
