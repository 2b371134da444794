"""Samples of a device as its health during a measurement."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.device import DeviceHealth, DeviceState, Range, busy_text, summary

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
shares = st.none() | st.floats(0, 1)


@st.composite
def samples(draw: st.DrawFn) -> list[DeviceState]:
    """Samples of one device in the order of time."""
    rows = draw(
        st.lists(
            st.tuples(st.none() | st.floats(1, 5000), shares, st.sampled_from(["", "heat"])),
            max_size=12,
        )
    )
    return [
        DeviceState(
            name="d", at=BEGAN + timedelta(seconds=i), clock_mhz=clock, steal=steal,
            throttle=(why,) if why else (),
        )
        for i, (clock, steal, why) in enumerate(rows)
    ]  # fmt: skip


@given(samples())
def test_a_summary_stays_within_its_samples(states: list[DeviceState]) -> None:
    health = summary(states)
    if not states:
        assert health is None
        return
    assert health is not None
    clocks = [state.clock_mhz for state in states if state.clock_mhz is not None]
    if clocks:
        assert health.clock_mhz is not None
        assert health.clock_mhz.low == min(clocks) and health.clock_mhz.high == max(clocks)
        assert min(clocks) - 1e-6 <= health.clock_mhz.mean <= max(clocks) + 1e-6
    else:
        assert health.clock_mhz is None
    assert bool(health.throttled) == any(state.throttle for state in states)
    assert health.seconds == len(states) - 1
    assert DeviceHealth.model_validate_json(health.model_dump_json()) == health


def test_the_first_share_is_of_the_time_before_the_measurement() -> None:
    states = [
        DeviceState(name="d", at=BEGAN + timedelta(seconds=i), steal=steal, utilisation=steal)
        for i, steal in enumerate((1.0, 0.0, 0.2))
    ]
    health = summary(states)
    assert health is not None and health.steal == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("health", "remark"),
    [
        (DeviceHealth(name="d"), ""),
        (DeviceHealth(name="d", throttled={"power limit": 0.01}, steal=0.01, pressure=0.2), ""),
        (
            DeviceHealth(name="d", throttled={"heat": 0.1, "power limit": 0.5}),
            "clock held back by power limit for 50% of the time; "
            "clock held back by heat for 10% of the time",
        ),
        (DeviceHealth(name="d", steal=0.08), "the hypervisor took 8% of the processor"),
        (DeviceHealth(name="d", pressure=0.9), "programs waited for a core 90% of the time"),
    ],
)
def test_a_remark_names_what_may_have_changed_a_measurement(
    health: DeviceHealth, remark: str
) -> None:
    assert health.remark == remark


def test_no_value_is_no_range() -> None:
    assert Range.of([None, None]) is None
    assert Range.of([]) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"pressure": 0.9, "load": 3.0}, "programs wait for a core 90% of the time, load 3.0"),
        ({"pressure": 0.1, "load": 3.0}, ""),
        ({"pressure": None, "load": 3.0}, "load 3.0 for each core"),
        ({"pressure": None, "load": 0.1, "steal": 0.1}, "the hypervisor takes 10%"),
        ({"pressure": 0.9, "host": "node7"}, ""),
    ],
)
def test_a_busy_processor_of_this_machine_is_told(state: dict[str, Any], words: str) -> None:
    """By the waiting now where it is known: the load is a mean over a minute that has passed."""
    text = busy_text([DeviceState(name="cpu model", at=BEGAN, **state)])
    assert words in text and bool(text) == bool(words)
