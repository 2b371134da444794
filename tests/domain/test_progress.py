"""How a run is doing: what it waits for, its gains, whether it is stuck."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps, Spend
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.lineage import best
from avo_tui.domain.progress import (
    attention,
    bests,
    cost_text,
    progress,
    progress_text,
    state_text,
    waiting_text,
    with_state,
)
from avo_tui.domain.records import Attempt, Intervention, RunState, SessionRecord, Version
from avo_tui.domain.run_settings import OperatorName, RunSettings
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.state import SessionState
from avo_tui.domain.verdict import Verdict
from tests.domain.test_stall_rules import START, TASK, at


def begin(operator: OperatorName = "tuner", budget: Budget | None = None) -> SessionState:
    settings = RunSettings(operator=operator)
    session = SessionRecord(
        name="s", task=TASK, created=START, settings=settings, budget=budget or Budget()
    )
    state = SessionState.begin(ev.SessionCreated(session=session, at=START))
    state.apply(ev.StateChanged(state="running", at=at(1)))
    return state


def version(
    number: int, ratio: float, parent: int | None, gate: GateDecision | None = None
) -> Version:
    row = ConfigurationScore(name="c", throughput=ratio, p20=ratio, p80=ratio, ratio=ratio)
    return Version(
        number=number,
        parent=parent,
        step=number,
        attempt=1,
        candidate=f"{number:064x}",
        score=Score(unit="x", reference_baseline="b", configurations=(row,)),
        gate=gate or GateDecision(gate="strict", accepted=True, reason=""),
        author="tuner",
        created=at(number),
    )


def put(state: SessionState, *versions: Version) -> SessionState:
    for one in versions:
        state.apply(ev.StepStarted(step=one.step, parent=one.parent or 0, at=one.created))
        state.apply(ev.VersionCommitted(version=one, at=one.created))
        state.apply(ev.StepFinished(step=one.step, outcome="committed", at=one.created))
    return state


def tried(state: SessionState, step: int, count: int) -> None:
    state.apply(ev.StepStarted(step=step, parent=1, at=at(20)))
    for number in range(1, count + 1):
        attempt = Attempt(step=step, number=number, parent=1, candidate="1" * 64, at=at(20))
        done = attempt.model_copy(update={"verdict": Verdict.CORRECT})
        state.attempts[step, number] = done


APPROVAL = ev.ApprovalRequested(
    attempt=2, decision=GateDecision(gate="strict", accepted=True, reason="+3%"), at=at(30)
)


def test_a_run_that_waits_for_approval_says_so_until_it_is_given() -> None:
    state = put(begin(), version(1, 1.0, None))
    tried(state, 2, 2)
    state.apply(APPROVAL)
    known = progress(state, "running")
    assert known.waits_for == "approval" and known.needs_person and known.attempt == "2.2"
    text = waiting_text(known, at(35))
    assert text == "waits for you to approve attempt 2.2, for 5 min"
    assert state_text(known) == "waits for you"
    state.apply(ev.ApprovalGiven(attempt=2, approved=True, at=at(36)))
    assert progress(state, "running").waits_for == ""


def test_a_pause_is_not_what_a_run_waits_for_while_an_approval_is_asked() -> None:
    state = put(begin(), version(1, 1.0, None))
    state.apply(APPROVAL)
    assert progress(state, "pausing").waits_for == "approval"


def test_a_lost_engine_comes_before_its_unanswered_question() -> None:
    state = put(begin(), version(1, 1.0, None))
    state.apply(APPROVAL)
    assert progress(state, "lost").waits_for == "engine"
    assert with_state(progress(state, "running"), "lost").waits_for == "engine"
    assert with_state(progress(state, "running"), "running").waits_for == "approval"


def test_the_time_of_waiting_survives_what_is_recorded_meanwhile() -> None:
    state = put(begin(), version(1, 1.0, None))
    state.apply(ev.StateChanged(state="paused", at=at(40)))
    state.apply(ev.Spent(spend=Spend(seconds=1), at=at(50)))
    state.apply(ev.StateChanged(state="paused", reason="again", at=at(55)))
    known = progress(state, "paused")
    assert known.since == at(40) and waiting_text(known, at(100)).endswith("for 60 min")


@pytest.mark.parametrize(("operator", "waits"), [("external", "submission"), ("tuner", "")])
def test_who_makes_no_steps_waits_for_a_submission(operator: OperatorName, waits: str) -> None:
    state = put(begin(operator), version(1, 1.0, None))
    assert progress(state, "running").waits_for == waits
    state.apply(ev.StepStarted(step=2, parent=1, at=at(3)))
    assert progress(state, "running").waits_for == ""


def test_the_gain_is_over_the_best_before_and_not_over_the_parent() -> None:
    state = put(begin(), version(1, 1.0, None), version(2, 1.5, 1), version(3, 1.575, 1))
    known = progress(state, "running")
    assert (known.best, known.previous) == (3, 2)
    assert known.gain == pytest.approx(0.05) and not known.gain_timed
    assert "(≈+5.0% over v" in progress_text(known, at(9))
    assert "+5.0% over v2" in progress_text(known, at(4))


def test_a_gain_that_the_gate_measured_in_turn_is_the_gain() -> None:
    gate = GateDecision(
        gate="strict", accepted=True, reason="", gain=0.02, reference=1, remeasured=True
    )
    state = put(begin(), version(1, 1.0, None), version(2, 1.5, 1, gate))
    known = progress(state, "running")
    assert known.gain == 0.02 and known.gain_timed
    assert "(+2.0% over v1)" in progress_text(known, at(9))


@pytest.mark.parametrize(("tries", "stuck"), [(63, False), (64, True)])
def test_stuck_by_tries(tries: int, stuck: bool) -> None:
    """Four times the tuner's limit of 16."""
    state = put(begin(), version(1, 1.0, None))
    tried(state, 2, tries)
    known = progress(state, "running")
    assert (known.tries, known.stuck) == (tries, stuck)
    assert progress_text(known, at(21)).startswith("stuck: ") == stuck
    assert not progress(state, "paused").stuck and not progress(state, "finished").stuck


def test_stuck_by_interventions_and_no_more_after_a_better_version() -> None:
    state = put(begin(), version(1, 1.0, None))
    for number, level in enumerate(("nudge", "restart", "restart")):
        made = Intervention(id=f"i{number}", at=at(30 + number), step=2, level=level, trigger="t")
        state.apply(ev.SupervisorIntervened(intervention=made, at=made.at))
    known = progress(state, "running")
    assert known.stuck and (known.interventions, known.restarts) == (3, 2)
    put(state, version(40, 1.2, 1))
    assert not progress(state, "running").stuck


def test_cost_and_end() -> None:
    state = put(begin(budget=Budget(run=Caps(usd=10, hours=100))), version(1, 1.0, None))
    state.apply(ev.Spent(spend=Spend(usd=5, seconds=7200), at=at(120)))
    known = progress(state, "running")
    assert known.usd_per_hour == 2.5 and known.ends_by == "usd"
    assert known.hours_left == pytest.approx(2.0)
    assert cost_text(known) == ("$2.50 an hour; the cap of usd is reached in about 2 h of running")


def test_what_was_left_behind_a_week_ago_does_not_come_first() -> None:
    state = put(begin(), version(1, 1.0, None))
    known = progress(state, "lost")
    assert attention(known, at(0), at(0) + timedelta(days=1)) > 0
    assert attention(known, at(0), at(0) + timedelta(days=8)) == 0


@given(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=30), st.randoms())
def test_bests_rise_and_end_in_the_best(ratios: list[float], turn: st.DataObject) -> None:
    versions = [version(n, ratio, None if n == 0 else n - 1) for n, ratio in enumerate(ratios)]
    shuffled = list(versions)
    turn.shuffle(shuffled)  # type: ignore[attr-defined]
    in_turn = bests(shuffled)
    assert in_turn[0] is versions[0] and in_turn[-1] == best(versions)
    assert all(a.aggregate < b.aggregate for a, b in pairwise(in_turn))


@given(st.sampled_from(["running", "pausing", "paused", "parked", "stopped", "finished", "lost"]))
def test_every_state_has_words(run_state: RunState) -> None:
    known = progress(put(begin(), version(1, 1.0, None)), run_state)
    assert state_text(known) and progress_text(known, at(3))
    assert bool(waiting_text(known, at(3))) == bool(known.waits_for)


def test_parked_without_a_moment_to_go_on_is_the_disk() -> None:
    state = put(begin(), version(1, 1.0, None))
    state.apply(ev.StateChanged(state="parked", reason="no space", at=at(40)))
    known = progress(state, "parked")
    assert known.waits_for == "disk" and known.needs_person and state_text(known) == "awaits disk"
    assert "disk" in waiting_text(known, at(41))
    state.apply(ev.StateChanged(state="parked", reason="limit", until=at(90), at=at(42)))
    known = progress(state, "parked")
    assert known.waits_for == "time" and not known.needs_person
