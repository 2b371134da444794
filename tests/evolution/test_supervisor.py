"""The supervisor at work in a run."""

import asyncio
from types import SimpleNamespace
from typing import cast

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.evolution.watch.supervisor import Supervisor
from avo_tui.operators.ports import StepEnded, StepOutcome, Workbench
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from tests.evolution.fake_evaluator import FakeEvaluator, seed
from tests.evolution.laboratory import MakeLab
from tests.evolution.test_engine import Scripted, with_values
from tests.shipped import shipped_sessions


def impatient(attempts: int = 3, **more: int) -> RunSettings:
    return RunSettings(options={"supervisor.attempts": attempts, **more})


async def test_the_tuner_is_nudged_then_restarted_from_another_ancestor(make_lab: MakeLab) -> None:
    lab = make_lab(impatient(attempts=4), FakeEvaluator())
    lab.start()
    await lab.until(lambda: any(i.level == "restart" for i in lab.state.supervision.values()))
    made = list(lab.state.supervision.values())
    restart = next(i for i in made if i.level == "restart")
    before = made[made.index(restart) - 1]
    assert before.level == "nudge" and before.step <= restart.step
    assert "attempts without a commit (limit 4)" in restart.trigger
    assert "attempts since the last commit" in restart.diagnosis
    (direction,) = restart.directions
    assert direction.parent is not None and direction.parent in lab.state.versions
    await lab.until(
        lambda: (
            any(
                s.parent == direction.parent
                for s in lab.state.steps.values()
                if s.number > restart.step
            )
            or restart.id
            not in [i.id for i in lab.state.supervision.values() if i.state == "active"]
        )
    )
    await lab.stop()
    lab.check_whole()


async def test_a_commit_ends_interventions(make_lab: MakeLab) -> None:
    steps: list[str] = []

    async def commit(bench: Workbench) -> StepOutcome:
        steps.append(",".join(i.level for i in bench.reading.interventions()))
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "better")
        word = await bench.evaluating.submit(attempt, "", "")
        return StepOutcome(outcome="committed" if word.version else "nothing")

    lab = make_lab()
    operator = Scripted()
    lab.start(operator)
    await lab.until(lambda: lab.state.current_step)
    answer = await lab.send(cmd.Supervise(level="redirect", directions=("try TMA", "count spills")))
    assert answer.effect == "redirect with 2 directions"
    (made,) = lab.state.supervision.values()
    assert made.by == "person" and [d.text for d in made.directions] == ["try TMA", "count spills"]
    operator.steps.append(commit)
    await lab.send(cmd.AbortStep())
    await lab.versions(2)
    assert steps == ["redirect"]
    assert [i.state for i in lab.state.supervision.values()] == ["done"]


async def test_interventions_can_be_edited_and_dismissed(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start(Scripted())
    await lab.until(lambda: lab.state.current_step)
    await lab.send(cmd.Supervise(level="nudge"))
    (made,) = lab.state.supervision.values()
    await lab.send(cmd.EditIntervention(intervention=made.id, directions=("look at fences",)))
    assert [d.text for d in lab.state.supervision[made.id].directions] == ["look at fences"]
    await lab.send(cmd.EditIntervention(intervention=made.id, dismiss=True))
    assert lab.state.supervision[made.id].state == "dismissed"
    assert (await lab.send(cmd.EditIntervention(intervention="x"))).refused is not None


async def test_the_top_of_the_agents_ladder_ends_the_step(make_lab: MakeLab) -> None:
    """Equal failures: nudge, redirect, then the step is stopped at its next boundary."""
    ended: list[str] = []

    async def stubborn(bench: Workbench) -> StepOutcome:
        number = 0
        while True:  # ends: the engine ends the step
            number += 1
            try:
                await bench.control.boundary(f"before try {number}")
            except StepEnded as error:
                ended.append(error.reason)
                raise
            broken = seed().with_file("kernel.cpp", f"#error {number}\n")
            await bench.evaluating.evaluate(broken, f"try {number}")

    settings = RunSettings(
        operator="agent", options={"supervisor.failures": 3}, budget=Budget(run=Caps(steps=1))
    )
    lab = make_lab(settings)
    lab.start(Scripted(stubborn))
    assert await lab.ended() == "finished"
    made = list(lab.state.supervision.values())
    assert [i.level for i in made] == ["nudge", "redirect", "stop_step"]
    assert all("3 times compile error in a row (limit 3)" in i.trigger for i in made)
    redirect = made[1]
    assert "try 6" in redirect.directions[0].text
    assert ended == [f"stop step: {made[2].trigger}"]
    assert lab.state.steps[1].outcome == "nothing"
    assert lab.state.steps[1].attempts == 9


async def test_a_step_is_not_ended_over_candidates_that_are_still_measured(
    make_lab: MakeLab,
) -> None:
    fake = FakeEvaluator()
    seen: list[int] = []

    async def asks(bench: Workbench) -> StepOutcome:
        await bench.evaluating.evaluate(with_values(UNROLL="4"), "not handed in")
        fake.hold = lambda: True
        asked = asyncio.create_task(bench.evaluating.evaluate(with_values(UNROLL="2"), "slow"))
        await lab.until(lambda: fake.held)
        for _ in range(4):
            await bench.control.boundary("while it is measured")
        seen.append(len(lab.of(ev.SupervisorIntervened)))
        fake.let_go()
        await asked
        while True:  # ends: the engine ends the step
            await bench.control.boundary("after it")

    settings = RunSettings(
        operator="agent", options={"supervisor.attempts": 1}, budget=Budget(run=Caps(steps=1))
    )
    lab = make_lab(settings, fake)
    lab.start(Scripted(asks))
    await lab.until(lambda: lab.of(ev.SupervisorIntervened))
    assert seen == [0]
    await lab.stop()


async def test_paused_time_is_no_stall(make_lab: MakeLab) -> None:
    lab = make_lab(RunSettings(options={"supervisor.seconds": 1000, "supervisor.attempts": 0}))
    looked: list[str] = []

    async def look(bench: Workbench) -> StepOutcome:
        await bench.control.boundary("looking")
        looked.append(f"at {len(lab.of(ev.SupervisorIntervened))}")
        await bench.control.interruptible(asyncio.sleep(3600))
        return StepOutcome(outcome="nothing")

    lab.start(Scripted(look, look, look))
    await lab.until(lambda: looked)
    for seconds in (2000, 0):  # longer than the limit while it is paused, then while it runs
        await lab.send(cmd.Pause(mode="now"))
        await lab.in_state("paused")
        lab.pass_time(seconds)
        before = len(looked)
        await lab.send(cmd.Resume())
        await lab.until(lambda count=before: len(looked) > count)  # type: ignore[misc]
        lab.pass_time(2000)
    assert looked == ["at 0", "at 0", "at 1"]


async def test_an_operator_that_waits_is_not_supervised(make_lab: MakeLab) -> None:
    from avo_tui.operators.external import External

    lab = make_lab(RunSettings(operator="external", options={"supervisor.attempts": 1}))
    lab.start(External())
    await lab.versions(1)
    for unroll in ("2", "4", "8"):
        await lab.send(cmd.Submit(candidate=with_values(UNROLL=unroll, FAST_EXP="true")))
    assert lab.state.supervision == {}


def test_what_the_notes_doubt_is_not_advised_to_be_handed_in() -> None:
    """In step 6 of this run a note of a failure names 6.12-6.19; 6.26 and 6.27 were never run."""
    agents = next(p for p in shipped_sessions() if p.name == "mha-hopper-agents")
    state = fold_journal(Layout(agents), until=3007)
    head = state.session.head
    assert head is not None
    traits = state.session.settings.operator_traits
    run = SimpleNamespace(
        state=state, traits=traits, reference=lambda: lineage.line_best(state.versions, head)
    )
    budget = SimpleNamespace(spend=lambda: (state.session.spend, state.session.spend))
    supervisor = Supervisor(cast("Run", run), cast("BudgetWatch", budget))
    left, ahead, untested, doubted, *_ = supervisor.intervention(
        "redirect", "8 attempts"
    ).directions
    assert "e6:" not in left.text and "e1:" in ahead.text
    assert "e4:" in untested.text and "k1:" not in untested.text
    assert "(6.15, note d4ba0c9c)" in doubted.text and "e4:" not in doubted.text
