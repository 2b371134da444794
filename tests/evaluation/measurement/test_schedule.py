import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.measurement.statistics import (
    Plan,
    kinds_of_rounds,
    paired_orders,
    per_kind,
    turns,
)


@given(st.integers(1, 60), st.integers(1, 4), st.integers())
def test_every_set_of_inputs_is_judged_once(rounds: int, kinds: int, seed: int) -> None:
    pick = random.Random(seed)
    each = per_kind(kinds)
    wanted = kinds_of_rounds(rounds, kinds, pick)
    found = turns(wanted, each, pick)
    assert [t.kind for t in found] == wanted
    assert all(t.inputs // each == t.kind for t in found)
    judged = Counter(t.inputs for t in found if t.judged)
    assert judged == Counter({t.inputs for t in found})
    for kind in set(wanted):
        used = Counter(t.inputs for t in found if t.kind == kind)
        assert max(used.values()) - min(used.values()) <= 1
    spread = Counter(wanted)
    assert max(spread.values()) - min(spread.values()) <= 1


def test_every_position_is_judged_as_often_as_any_other() -> None:
    hits = Counter(
        number
        for seed in range(4000)
        for number, t in enumerate(turns([0] * 8, 2, random.Random(seed)))
        if t.judged
    )
    assert set(hits) == set(range(8))
    assert min(hits.values()) > 0.8 * max(hits.values())


@given(st.integers(0, 40), st.integers())
def test_in_every_round_both_are_timed_first_and_last_once(rounds: int, seed: int) -> None:
    orders = list(paired_orders(rounds, random.Random(seed)))
    assert len(orders) == rounds
    for order in orders:
        assert order in {(0, 1, 1, 0), (1, 0, 0, 1)}
    first = Counter(order[0] for order in orders)
    assert abs(first[0] - first[1]) <= 1


def test_a_slow_candidate_gets_fewer_rounds() -> None:
    seconds = (0.001, 0.1, 0.5, 0.99, 1.0, 2.99, 3.0, 10.0)
    assert [Plan().affordable(s, 1.0) for s in seconds] == [24, 10, 3, 3, 2, 2, 1, 1]
