"""Groups of runs that were made alike."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.trajectory import Arm, Trajectory, mean, ratio
from tests.domain.test_trajectory import committed, spent


def run(*bests: tuple[int, float]) -> Trajectory:
    """(evaluations since the one before, ratio) of each version."""
    events: list[ev.Event] = []
    for number, (evaluations, score) in enumerate(bests):
        events += [spent(evaluations, 1.0), committed(number, score)]
    return Trajectory.of(events)


def test_intervals_are_students_on_logarithms() -> None:
    # Three values whose logarithms are -0.1, 0 and 0.1: standard error 0.1/√3, t(2) = 4.3027.
    spread = [math.exp(-0.1), 1.0, math.exp(0.1)]
    interval = mean(spread)
    assert interval is not None
    assert interval.middle == pytest.approx(1.0)
    wide = 4.302653 * 0.1 / math.sqrt(3)
    assert interval.high == pytest.approx(math.exp(wide), rel=1e-6)
    assert interval.low == pytest.approx(math.exp(-wide), rel=1e-6)
    # Two equal arms: Welch's degrees of freedom are 4, t(4) = 2.7764.
    against = ratio([2 * s for s in spread], spread)
    assert against is not None
    assert against.middle == pytest.approx(2.0)
    wide = 2.776445 * 0.1 * math.sqrt(2 / 3)
    assert against.high == pytest.approx(2 * math.exp(wide), rel=1e-6)


@pytest.mark.parametrize("scores", [[], [1.3], [1.3, 0.0]])
def test_too_little_has_no_interval(scores: list[float]) -> None:
    assert mean(scores) is None
    assert ratio(scores, [1.0, 1.1]) is None and ratio([1.0, 1.1], scores) is None


@given(
    st.lists(st.floats(0.01, 100), min_size=2, max_size=6),
    st.lists(st.floats(0.01, 100), min_size=2, max_size=6),
    st.floats(0.1, 10),
)
def test_a_faster_baseline_changes_no_ratio(
    ours: list[float], theirs: list[float], factor: float
) -> None:
    plain, scaled = (
        ratio(ours, theirs),
        ratio([s * factor for s in ours], [s * factor for s in theirs]),
    )
    assert plain is not None and scaled is not None
    assert plain.low <= plain.middle * (1 + 1e-9) and plain.middle <= plain.high * (1 + 1e-9)
    assert scaled.middle == pytest.approx(plain.middle, rel=1e-6)
    back = ratio(theirs, ours)
    assert back is not None and back.middle == pytest.approx(1 / plain.middle, rel=1e-6)


def test_the_course_begins_where_every_run_has_a_version_and_ends_at_the_budget() -> None:
    arm = Arm("a", (run((1, 0.1), (3, 1.0)), run((2, 0.2), (1, 0.6), (9, 3.0))))
    course = arm.course("evaluations", 6)
    assert [row[0] for row in course] == [2, 3, 4, 6]
    assert course[0][1:] == pytest.approx((0.1, 0.15, 0.2))
    assert course[-1][1:] == pytest.approx((0.6, 0.8, 1.0))
    assert arm.scores("evaluations", 100) == pytest.approx([1.0, 3.0])
