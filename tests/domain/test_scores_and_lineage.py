"""Scores, and the tree of versions."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain import lineage
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Remeasurement, Version
from avo_tui.domain.score import ConfigurationScore, Score, geomean
from tests.session_life import AT, score, version


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
    assert lineage.best([in_turn, one]) is (in_turn if gain > 0 else one)
    # measured against another, or only once: the aggregates are what there is
    for changed in ({"reference": 0}, {"remeasured": False}):
        loose = other.model_copy(update={"gate": beside.model_copy(update=changed)})
        assert lineage.best([one, loose]) is (loose if second > first else one)


def test_an_empty_lineage_has_no_best_and_an_unknown_number_is_a_key_error() -> None:
    assert lineage.best([]) is None
    with pytest.raises(KeyError):
        lineage.line({}, 1)


@pytest.mark.parametrize(("unit", "ours", "theirs"), [("GFLOP/s", 30.0, 20.0), ("us", 20.0, 30.0)])
def test_a_ratio_is_a_speed_whatever_the_unit(unit: str, ours: float, theirs: float) -> None:
    one = ConfigurationScore(
        name="one", throughput=ours, p20=ours, p80=ours, ratio=1.5, baselines={"library": theirs}
    )
    one_score = Score(unit=unit, reference_baseline="library", configurations=(one,))
    assert one_score.ratio_to("library") == pytest.approx(1.5)
    assert one_score.speed_over(one, "library") == pytest.approx(1.5)
    assert one_score.speed_over(one, "another") == one_score.ratio_to("another") == 0.0


def test_the_score_that_counts_is_the_latest_under_the_conditions_asked_for() -> None:
    again = [(2.0, "new"), (3.0, "new"), (9.0, "other")]
    later = [Remeasurement(at=AT, score=score(r, 1), conditions=c) for r, c in again]
    one = version(1, 1, 1, 1.0, 1).replaced(conditions="old", remeasurements=tuple(later))
    for conditions, ratio in (("new", 3.0), ("other", 9.0), ("old", 1.0), ("", 1.0), ("no", 1.0)):
        assert one.score_under(conditions) == score(ratio, 1)
