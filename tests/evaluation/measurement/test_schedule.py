import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.measurement.schedule import Plan, paired_orders, turns


@given(st.integers(1, 60), st.integers(1, 5), st.integers())
def test_every_set_of_inputs_is_judged_once(count, inputs, seed):
    found = turns(count, inputs, random.Random(seed))
    assert [t.number for t in found] == list(range(count))
    judged = Counter(t.inputs for t in found if t.judged)
    assert judged == Counter({t.inputs for t in found})
    used = Counter(t.inputs for t in found)
    assert max(used.values()) - min(used.values()) <= 1


def test_every_position_is_judged_as_often_as_any_other():
    hits = Counter(
        t.number for seed in range(4000) for t in turns(8, 2, random.Random(seed)) if t.judged
    )
    assert set(hits) == set(range(8))
    assert min(hits.values()) > 0.8 * max(hits.values())


@given(st.integers(0, 40), st.integers())
def test_in_every_round_both_are_timed_first_and_last_once(rounds, seed):
    orders = list(paired_orders(rounds, random.Random(seed)))
    assert len(orders) == rounds
    for order in orders:
        assert order in {(0, 1, 1, 0), (1, 0, 0, 1)}
    first = Counter(order[0] for order in orders)
    assert abs(first[0] - first[1]) <= 1


def test_a_slow_candidate_gets_fewer_rounds():
    plan = Plan()
    assert plan.affordable(0.001, 1.0) == 24
    assert plan.affordable(0.1, 1.0) == 10
    assert plan.affordable(0.5, 1.0) == 3
    assert plan.affordable(2.0, 1.0) == 2
    assert plan.affordable(10.0, 1.0) == 1
