"""What a run does while it may not go on: caps that are reached, waits for a provider."""

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps, Spend
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.ports import StepOutcome, Workbench
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import MakeLab
from tests.evolution.test_control import LONG
from tests.evolution.test_engine import Scripted


async def test_budget_takes_effect_while_running(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.start()
    await lab.versions(1)
    answer = await lab.send(cmd.SetBudget(budget=Budget(run=Caps(evaluations=3))))
    assert answer.effect == "the caps are evaluations 3"
    assert await lab.ended() == "finished"
    assert lab.state.session.spend.evaluations <= 5


async def test_spend_of_the_operator_counts(make_lab: MakeLab) -> None:
    async def spend(bench: Workbench) -> StepOutcome:
        for usd in (0.7, 0.2):
            bench.recording.spent(Spend(usd=usd, input_tokens=10, requests=1))
            await bench.control.boundary("after the request")
        assert bench.control.budget_left() is None
        bench.recording.spent(Spend(usd=0.2))
        assert bench.control.budget_left() == "budget of the step: $1.10 of $1.05"
        return StepOutcome(outcome="nothing")

    caps = Budget(run=Caps(usd=1.0), step=Caps(usd=1.05))
    lab = make_lab(RunSettings(budget=caps))
    lab.start(Scripted(spend))
    assert await lab.ended() == "finished"
    assert lab.state.steps[1].outcome == "nothing", lab.state.steps[1].reason
    assert [(w.cap, round(w.used, 6), w.exhausted) for w in lab.of(ev.BudgetWarned)] == [
        (1.0, 0.9, False),  # at eight tenths of the run, and not of the step
        (1.0, 1.1, True),
    ]


async def test_parking_counts_down_and_resume_cuts_it_short(make_lab: MakeLab) -> None:
    parked: list[str] = []

    async def park(bench: Workbench) -> StepOutcome:
        await bench.control.park(LONG, "rate limit")
        parked.append("over")
        await bench.control.park(0.05, "overload")
        parked.append("by itself")
        return StepOutcome(outcome="nothing")

    lab = make_lab()
    lab.start(Scripted(park))
    await lab.in_state("parked")
    session = lab.state.session
    assert session.state_reason == "rate limit" and session.parked_until is not None
    lab.pass_time(5000)  # it does not count
    answer = await lab.send(cmd.Resume())
    assert answer.effect == "the wait is cut short"
    await lab.until(lambda: parked == ["over", "by itself"])
    assert lab.state.session.spend.seconds < 2500


@pytest.mark.parametrize(
    ("command", "outcome"), [(cmd.AbortStep(), "aborted"), (cmd.Rewind(version=0), "rewound")]
)
async def test_a_parked_step_can_be_ended(
    make_lab: MakeLab, command: cmd.Command, outcome: str
) -> None:
    async def park(bench: Workbench) -> StepOutcome:
        await bench.control.park(LONG, "rate limit")
        return StepOutcome(outcome="nothing")

    lab = make_lab()
    lab.start(Scripted(park))
    await lab.in_state("parked")
    await lab.send(command)
    await lab.until(lambda: lab.state.steps[1].ended)
    assert lab.state.steps[1].outcome == outcome


async def test_parked_time_survives_a_crash(make_lab: MakeLab) -> None:
    async def park(bench: Workbench) -> StepOutcome:
        await bench.control.park(LONG, "rate limit")
        return StepOutcome(outcome="nothing")

    lab = make_lab()
    lab.start(Scripted(park))
    await lab.in_state("parked")
    until = lab.state.session.parked_until
    await lab.killed()
    lab.start(Scripted())
    await lab.in_state("parked")
    now_until = lab.state.session.parked_until
    assert until is not None and now_until is not None
    assert abs((now_until - until).total_seconds()) < 60


async def test_a_run_that_stands_still_gives_back_the_worker_s_memory(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.evolution.run.REST_SECONDS", 0.01)
    lab = make_lab()
    rested: list[str] = []

    async def rest() -> None:
        rested.append(lab.state.session.state)

    lab.evaluator.rest = rest  # type: ignore[method-assign]
    lab.start()
    await lab.versions(1)
    assert rested == []
    await lab.send(cmd.Pause())
    await lab.until(lambda: rested)
    assert rested == ["paused"]
    await lab.send(cmd.Resume())
    await lab.until(lambda: lab.state.session.state == "running")
