"""The race: clearly slower candidates are stopped early, others are not, at the stated rate."""

import random

from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.measurement.race import ALLOWANCE, ERROR, Race


def rounds_until_lost(race: Race, ratios: list[float]) -> int | None:
    """The number of rounds after which it is lost; None where it never is."""
    return next((n for n in range(1, len(ratios) + 1) if race.lost(ratios[:n])), None)


def test_a_clear_loser_is_stopped_after_eight_rounds() -> None:
    race = Race(1.0)
    assert rounds_until_lost(race, [0.5] * 30) == 8 and race.over
    assert rounds_until_lost(Race(1.0), [0.5] * 3 + [1.2] + [0.5] * 30) is not None, "an outlier"


@given(st.lists(st.floats(0.01, 10), max_size=40))
def test_without_a_mark_there_is_no_race(ratios: list[float]) -> None:
    assert rounds_until_lost(Race(), ratios) is None


def test_one_at_the_mark_is_stopped_no_oftener_than_stated() -> None:
    """The worst case: a median right at the allowance, looked at after every round."""
    rng = random.Random(7)
    runs = 4000
    lost = sum(
        rounds_until_lost(Race(1.0), [ALLOWANCE * rng.lognormvariate(0, 0.05) for _ in range(60)])
        is not None
        for _ in range(runs)
    )
    assert lost / runs <= ERROR * 1.5


def test_one_as_fast_as_the_rival_is_hardly_ever_stopped() -> None:
    rng = random.Random(8)
    for _ in range(500):
        ratios = [rng.lognormvariate(0, 0.02) for _ in range(60)]
        assert rounds_until_lost(Race(1.0), ratios) is None
