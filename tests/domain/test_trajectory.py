"""The course of a run at equal budget."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Spend
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Audit, Version
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.trajectory import Trajectory, common_budget, position

AT = datetime(2026, 1, 1, tzinfo=UTC)


def committed(number: int, ratio: float) -> ev.VersionCommitted:
    configuration = ConfigurationScore(
        name="one", throughput=ratio, p20=ratio, p80=ratio, ratio=ratio
    )
    return ev.VersionCommitted(
        version=Version(
            number=number,
            parent=number - 1 if number else None,
            step=number,
            candidate="0" * 64,
            score=Score(unit="GFLOP/s", reference_baseline="b", configurations=(configuration,)),
            gate=GateDecision(gate="seed", accepted=True, reason=""),
            author="tuner",
            created=AT,
        )
    )


def spent(evaluations: int, seconds: float) -> ev.Spent:
    return ev.Spent(spend=Spend(evaluations=evaluations, seconds=seconds))


def test_points_carry_what_had_been_spent() -> None:
    run = Trajectory.of(
        [spent(1, 10), committed(0, 0.1), spent(3, 30), committed(1, 0.4), spent(5, 50)]
    )
    assert [(p.spend.evaluations, round(p.best, 3)) for p in run.points] == [(1, 0.1), (4, 0.4)]
    assert position(run.closed()[-1], "evaluations") == 9
    assert run.best_at("evaluations", 3) == run.points[0].best
    assert run.needed("evaluations", 0.3) == 4
    assert run.needed("evaluations", 0.9) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.01, 3)), min_size=1, max_size=40))
def test_best_never_falls_and_never_counts_what_came_later(runs: list[tuple[int, float]]) -> None:
    events: list[ev.Event] = []
    for number, (evaluations, ratio) in enumerate(runs):
        events += [spent(evaluations, evaluations), committed(number, ratio)]
    run = Trajectory.of(events)
    heights = [p.best for p in run.points]
    assert heights == sorted(heights)
    places = [position(p, "evaluations") for p in run.points]
    assert places == sorted(places)
    total = common_budget([run], "evaluations")
    assert abs(run.best_at("evaluations", total) - max(r for _, r in runs)) < 1e-9


def test_a_version_that_does_not_hold_never_was_the_best() -> None:
    """By the same rule as lists and charts: the next best takes its place from its commit on."""
    fails = Audit(at=AT, outcome="fails", reason="no faster")
    events: list[ev.Event] = [
        spent(1, 10), committed(0, 0.1), spent(2, 20), committed(1, 0.9), spent(4, 40),
        committed(2, 0.5),
    ]  # fmt: skip
    assert [p.version for p in Trajectory.of(events).points] == [0, 1]
    run = Trajectory.of([*events, ev.VersionAudited(number=1, audit=fails)])
    assert [p.version for p in run.points] == [0, 2]
    assert run.best == pytest.approx(0.5) and run.best_at("evaluations", 3) == pytest.approx(0.1)
    holds = fails.model_copy(update={"outcome": "holds"})
    restored = Trajectory.of([*events, *(ev.VersionAudited(number=1, audit=a)
                                         for a in (fails, holds))])  # fmt: skip
    assert [p.version for p in restored.points] == [0, 1]
