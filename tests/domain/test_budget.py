"""Caps, spends and what is left of them."""

import math
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from avo_tui.domain.budget import Caps, Spend, cap_states, exhausted, hours_left, nearest, used

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
    almost = cap_states(Caps(usd=4.1), spend)[0]
    assert hours_left(almost, spend) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("cap", "seconds", "text"),
    [
        (8.0, 4500.0, "1.2 of 8 h of running"),
        (3.0, 3600.0, "1 of 3 h of running"),
        (2.99, 3600.0, "60 of 179 min of running"),
        (0.05, 90.0, "1.5 of 3 min of running"),
        (0.03, 192.0, "192 of 108 s of running"),
    ],
)
def test_a_cap_of_hours_is_told_in_the_unit_of_its_size(
    cap: float, seconds: float, text: str
) -> None:
    assert cap_states(Caps(hours=cap), Spend(seconds=seconds))[0].text == text


@pytest.mark.parametrize("field", ["usd", "tokens", "hours", "evaluations", "steps"])
def test_a_cap_below_zero_is_refused(field: str) -> None:
    with pytest.raises(ValidationError):
        Caps(**{field: -1})


def test_nothing_is_spent_at_first_and_a_cap_is_an_amount() -> None:
    assert not any(Spend().model_dump().values())
    for unit, wrong in product(Caps.model_fields, (-1.0, math.inf, math.nan)):
        with pytest.raises(ValidationError):
            Caps.model_validate({unit: wrong})
