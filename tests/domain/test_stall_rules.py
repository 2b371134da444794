"""Stalls, limits and the ladder."""

from datetime import UTC, datetime, timedelta

import pytest

from avo_tui.domain.budget import Spend
from avo_tui.domain.events import SessionCreated
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Attempt, Intervention, Occupant, SessionRecord, Step, Version
from avo_tui.domain.run_settings import BEFORE_TRAITS, Level, RunSettings
from avo_tui.domain.score import PairedMeasurement, Score
from avo_tui.domain.stall_rules import (
    Stall,
    Thresholds,
    closing,
    limits,
    nearest_at_the_gate,
    never_compared,
    next_level,
    rules,
    stall,
    tried_in_vain,
    trigger,
    unsettled,
)
from avo_tui.domain.state import SessionState
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import Verdict

AGENT_LADDER: tuple[Level, ...] = ("nudge", "redirect", "stop_step")
TUNER_LADDER: tuple[Level, ...] = ("nudge", "restart")

START = datetime(2026, 1, 1, tzinfo=UTC)
TASK = TaskInfo(
    name="t",
    title="t",
    language="cpp",
    description="",
    configurations=(),
    baselines=(),
    reference_baseline="b",
)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def state(verdicts: list[Verdict | None], commit_after: int = 0) -> SessionState:
    """Step 1 committed v1 with its last attempt; step 2 made the attempts of `verdicts`."""
    session = SessionRecord(name="s", task=TASK, created=START, settings=RunSettings(), step=2)
    made = SessionState.begin(SessionCreated(session=session))
    gate = GateDecision(gate="strict", accepted=True, reason="")
    made.versions[1] = Version(
        number=1,
        parent=None,
        step=1,
        attempt=3,
        candidate="0" * 64,
        score=Score(unit="x", reference_baseline="b"),
        gate=gate,
        author="tuner",
        created=at(3),
    )
    for number in range(1, 4):
        attempt = Attempt(step=1, number=number, parent=0, candidate="1" * 64, at=at(number))
        made.attempts[1, number] = attempt.model_copy(update={"verdict": Verdict.CORRECT})
    for number, verdict in enumerate(verdicts, 1):
        made.attempts[2, number] = Attempt(
            step=2,
            number=number,
            parent=1,
            candidate=f"{number:064x}",
            title=f"try {number}",
            verdict=verdict,
            at=at(10 + number),
        )
    made.steps[1] = Step(number=1, parent=0, started=START, spend=Spend(seconds=1000, usd=5))
    made.steps[2] = Step(number=2, parent=1, started=at(10), spend=Spend(seconds=70, usd=0.5))
    made.session = made.session.model_copy(update={"spend": Spend(seconds=1070, usd=5.5)})
    return made


C, E, W, X = Verdict.CORRECT, Verdict.COMPILE_ERROR, Verdict.WRONG_RESULT, Verdict.CANCELLED


def test_counts_since_the_commit() -> None:
    found = stall(state([C, E, X, None]))
    assert found == Stall(attempts=2, seconds=70, failures=1, failure=E, repeats=0, usd=0.5, rung=0)


@pytest.mark.parametrize(
    ("verdicts", "failures", "kind"),
    [
        ([E, E, E], 3, E),
        ([E, E, W], 1, W),
        ([E, C, E], 1, E),
        ([E, X, E], 2, E),
        ([C], 0, None),
        ([], 0, None),
    ],
)
def test_equal_failures_in_a_row(
    verdicts: list[Verdict | None], failures: int, kind: Verdict | None
) -> None:
    found = stall(state(verdicts))
    assert (found.failures, found.failure) == (failures, kind)


def test_counts_start_again_at_an_intervention() -> None:
    made = state([C] * 6)
    made.supervision["a"] = Intervention(
        id="a", at=at(14.5), step=2, level="nudge", trigger="t", seconds_at=1020, usd_at=5.4
    )
    found = stall(made)
    assert (found.attempts, found.rung) == (2, 1)
    assert found.seconds == 50
    assert found.usd == pytest.approx(0.1)


def test_interventions_that_are_done_or_the_persons_do_not_count() -> None:
    made = state([C] * 6)
    for name, update in (("a", {"state": "done"}), ("b", {"by": "person"})):
        made.supervision[name] = Intervention(
            id=name, at=at(14.5), step=2, level="nudge", trigger="t"
        ).model_copy(update=update)
    found = stall(made)
    assert (found.attempts, found.rung) == (6, 0)


def test_repeats_are_attempts_answered_from_the_record() -> None:
    made = state([C, C])
    made.attempts[2, 2] = made.attempts[2, 2].model_copy(update={"cached": True})
    assert stall(made).repeats == 1


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Stall(), None),
        (Stall(attempts=7), None),
        (Stall(attempts=8), "8 attempts without a commit (limit 8)"),
        (Stall(seconds=2700), "45 minutes without a commit (limit 45)"),
        (Stall(failures=5, failure=W), "5 times wrong result in a row (limit 5)"),
        (Stall(repeats=3), "3 candidates were tried before (limit 3)"),
        (Stall(usd=100), None),
    ],
)
def test_default_limits(found: Stall, says: str | None) -> None:
    assert trigger(found, Thresholds()) == says


def test_limits_of_a_run() -> None:
    assert limits(RunSettings(operator="agent")).attempts == 8
    assert limits(RunSettings(operator="tuner")).attempts == 16
    options: dict[str, str | int | float | bool] = {"supervisor.attempts": 3, "other": 1}
    assert limits(RunSettings(options=options)) == Thresholds(attempts=3)
    with pytest.raises(ValueError, match="attempts"):
        limits(RunSettings(options={"supervisor.attempts": "many"}))


def test_limits_can_be_switched_off() -> None:
    off = Thresholds(attempts=0, seconds=0, failures=0, repeats=0, usd=0)
    assert trigger(Stall(attempts=999, seconds=1e9, failures=99, repeats=99, usd=99), off) is None
    assert trigger(Stall(usd=2), Thresholds(usd=1)) == "$2.00 without a commit (limit $1.00)"


def test_ladder_goes_round_without_the_nudge() -> None:
    agent = [next_level(rung, AGENT_LADDER) for rung in range(6)]
    assert agent == ["nudge", "redirect", "stop_step", "redirect", "stop_step", "redirect"]
    tuner = [next_level(rung, TUNER_LADDER) for rung in range(4)]
    assert tuner == ["nudge", "restart", "restart", "restart"]


def test_tried_in_vain_is_newest_first() -> None:
    assert [a.title for a in tried_in_vain(state([C, E, C]), limit=2)] == ["try 3", "try 2"]


def test_what_is_ahead_and_not_shown_to_be_is_told_apart() -> None:
    made = state([C, C, C])
    gains = {1: 1.026, 2: 0.97, 3: 1.04}
    for number, gain in gains.items():
        pair = PairedMeasurement(configurations={"c": (gain, gain, gain)})
        made.comparisons[number] = Comparison(
            number=number,
            candidate=f"{number:064x}",
            against="0" * 64,
            error=0.001,
            replicates=(pair, pair),
            held="refused" if number == 3 else "unclear",
            held_at=2,
        )
    assert unsettled(made) == {f"{1:064x}": pytest.approx(0.026)}


def test_the_nearest_is_told_by_the_gate_and_not_by_scores_of_other_runs() -> None:
    made = state([C, C, C])
    for number, aggregate in ((1, 9.0), (2, 1.0), (3, 2.0)):
        made.attempts[2, number] = made.attempts[2, number].replaced(aggregate=aggregate)
    assert nearest_at_the_gate(made) is None
    for number, gain in ((2, 1.004), (3, 0.98)):
        pair = PairedMeasurement(configurations={"c": (gain, gain, gain)})
        made.comparisons[number] = Comparison(
            number=number, candidate=f"{number:064x}", against="0" * 64, error=0.001,
            replicates=(pair, pair),
        )  # fmt: skip
    found = nearest_at_the_gate(made)
    assert found is not None and found[0].number == 2
    assert found[1].text().startswith("+0.40% [") and "over v1 in 2 pairs" in found[1].text()


def test_seconds_and_dollars_count_since_the_agent_sat_down() -> None:
    made = state([])
    spend = Spend(seconds=1070, usd=5.5)
    seated = Occupant(name="a", way="mcp", since=at(11), seconds_at=1050, usd_at=5.25)
    made.session = made.session.replaced(spend=spend, occupant=seated)
    now = stall(made)
    assert (now.seconds, now.usd) == (20, 0.25), "70 s and $0.50 are of the step"
    made.session = made.session.replaced(occupant=seated.replaced(seconds_at=None))
    assert stall(made).seconds == 70, "an old record does not tell"


def test_every_number_stands_beside_its_limit() -> None:
    found = Stall(attempts=6, seconds=120, failures=2, failure=Verdict.WRONG_RESULT, usd=0.5)
    shown = rules(found, Thresholds())
    assert {r.name: (r.used, r.limit) for r in shown} == {
        "failures": (2, 5),
        "repeats": (0, 3),
        "attempts": (6, 8),
        "seconds": (120, 2700),
        "usd": (0.5, 0),
    }
    by_name = {r.name: r for r in shown}
    assert by_name["failures"].words == "wrong result in a row"
    assert by_name["attempts"].fraction == 0.75 and by_name["usd"].fraction == 0


@pytest.mark.parametrize("name", ["failures", "repeats", "attempts", "seconds", "usd"])
def test_a_number_at_its_limit_is_the_trigger(name: str) -> None:
    at = Thresholds(usd=2.0)
    limit = getattr(at, name)
    reached = rules(Stall.model_validate({name: limit}), at)
    assert [r.name for r in reached if r.fraction >= 1] == [name]
    assert trigger(Stall.model_validate({name: limit}), at) is not None


def test_each_operator_has_its_ladder() -> None:
    ladders = {name: RunSettings(operator=name).operator_traits.ladder for name in BEFORE_TRAITS}
    assert ladders["tuner"] == TUNER_LADDER
    assert ladders["agent"] == ladders["recorded"] == AGENT_LADDER
    assert ladders["external"] == ()
    assert RunSettings(operator="somebodys").operator_traits.ladder == AGENT_LADDER


def test_a_damaged_step_number_costs_no_time() -> None:
    """A folder from elsewhere may name any step; the count goes by the steps that there are."""
    damaged = state([Verdict.CORRECT])
    damaged.session = damaged.session.model_copy(update={"step": 10**300})
    assert stall(damaged).attempts == stall(state([Verdict.CORRECT])).attempts


def test_what_scored_above_the_best_and_was_never_compared_is_no_failure() -> None:
    """As in a sweep of parameters: many attempts of one direction, of which none was submitted."""
    made = state([C, C, C, W, C])
    for number, aggregate in {1: 1.56, 2: 1.41, 3: 1.63, 5: 1.55}.items():
        attempt = made.attempts[2, number]
        made.attempts[2, number] = attempt.model_copy(update={"aggregate": aggregate})
    pair = PairedMeasurement(configurations={"c": (0.9, 0.9, 0.9)})
    made.comparisons[1] = Comparison(
        number=1, candidate=f"{5:064x}", against="0" * 64, error=0.001, replicates=(pair,)
    )
    assert [a.number for a in never_compared(made, 1.476)] == [3, 1]


def test_the_variants_of_a_sweep_are_one_try() -> None:
    """Attempts 2 to 5 are one sweep; those of another step with the same number are not."""
    made = state([C, W, W, W, W, W])
    for number in range(2, 6):
        row = made.attempts[2, number]
        made.attempts[2, number] = row.model_copy(update={"sweep": 2, "cached": True})
    found = stall(made)
    assert (found.attempts, found.failures, found.repeats) == (3, 2, 1)


def test_counts_start_again_at_a_rewind() -> None:
    """What was tried on the line that was left is no failure of the new one."""
    made = state([C] * 6)
    made.supervision["a"] = Intervention(
        id="a", at=at(12), step=2, level="nudge", trigger="t", seconds_at=1020
    )
    made.session = made.session.model_copy(update={"rewound_at": at(14.5)})
    made.steps[3] = Step(number=3, parent=0, started=at(15), spend=Spend(seconds=7, usd=0.25))
    found = stall(made)
    assert found == Stall(attempts=2, seconds=7, usd=0.25)
    assert [a.title for a in tried_in_vain(made)] == ["try 6", "try 5"]


def test_a_rewind_ends_what_speaks_of_the_line_that_is_left() -> None:
    made = state([])
    for name, by, parent in (("a", "supervisor", None), ("b", "person", None), ("c", "person", 0)):
        made.supervision[name] = Intervention.model_validate(
            {
                "id": name, "at": at(12), "step": 2, "level": "redirect", "trigger": "t", "by": by,
                "directions": [{"text": "leave tiles", "parent": parent}],
            }
        )  # fmt: skip
    assert [e.intervention for e in closing(made, rewind=True)] == ["a", "c"]
    assert [e.intervention for e in closing(made)] == ["a", "b", "c"]
