"""The person's commands: each with its effect, or the reason it is refused."""

import asyncio
from collections.abc import Callable

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.records import PauseMode
from avo_tui.domain.verdict import Verdict
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.store import send_command
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import Laboratory, MakeLab
from tests.evolution.test_engine import Scripted, with_values

LONG = 3600.0
"""Seconds that no test waits for."""


async def slow_lab(make_lab: MakeLab, versions: int = 1) -> Laboratory:
    """A run with so many versions whose tuner is in the middle of an evaluation."""
    lab = make_lab()
    lab.hold_from(versions)
    lab.start()
    await lab.held()
    return lab


async def test_pause_now_kills_the_evaluation_and_the_step_goes_on(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    running = await lab.held()
    answer = await lab.send(cmd.Pause(mode="now"))
    assert answer.effect == "pauses now"
    await lab.in_state("paused")
    assert lab.evaluator.cancelled == 1
    step = lab.state.current_step
    assert step is not None
    last = lab.state.attempts[max(lab.state.attempts)]
    assert last.verdict is Verdict.CANCELLED and last.candidate == running
    lab.evaluator.hold_no_more()
    await lab.send(cmd.Resume())
    await lab.until(lambda: lab.evaluator.evaluations.count(running) == 2)
    assert lab.state.current_step is None or lab.state.current_step.number >= step.number


async def test_pause_after_tool_lets_the_evaluation_end(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    running = await lab.held()
    answer = await lab.send(cmd.Pause(mode="after_tool"))
    assert answer.effect == "pauses after this tool"
    assert lab.state.session.state == "pausing"
    lab.evaluator.let_go()
    await lab.in_state("paused")
    assert lab.evaluator.cancelled == 0
    attempt = next(a for a in lab.state.attempts.values() if a.candidate == running)
    assert attempt.verdict is Verdict.CORRECT
    count = len(lab.evaluator.evaluations)
    await asyncio.sleep(0.3)  # nothing may happen while it is paused
    assert len(lab.evaluator.evaluations) == count
    await lab.send(cmd.Resume())
    await lab.until(lambda: len(lab.evaluator.evaluations) > count)


async def test_pause_after_step_waits_for_its_end(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    step = lab.state.session.step
    await lab.send(cmd.Pause(mode="after_step"))
    assert lab.state.session.state == "pausing"
    lab.evaluator.let_go()
    await lab.in_state("paused")
    assert lab.state.current_step is None
    assert lab.state.steps[step].ended is not None
    assert lab.state.session.step == step


async def test_pausing_twice_is_refused_and_so_is_resuming_what_runs(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.02))
    lab.start()
    await lab.versions(1)
    refused = await lab.send(cmd.Resume())
    assert refused.refused == "the run is not paused"
    await lab.send(cmd.Pause())
    await lab.in_state("paused")
    assert (await lab.send(cmd.Pause())).refused == "the run is paused already"


async def test_a_pause_can_be_called_off_before_it_takes_effect(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    await lab.send(cmd.Pause(mode="after_step"))
    assert lab.state.session.state == "pausing"
    assert (await lab.send(cmd.Resume())).effect == "the pause is called off"
    await lab.in_state("running")


async def test_paused_time_is_not_counted(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    lab.pass_time(5000)
    await lab.send(cmd.Pause(mode="now"))
    await lab.in_state("paused")
    before = lab.state.session.spend.seconds
    assert before >= 5000
    lab.pass_time(5000)
    await lab.stop()
    assert lab.state.session.spend.seconds - before < 2500


async def test_stop_leaves_the_step_open_and_the_next_engine_goes_on(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    step = lab.state.current_step
    assert step is not None
    answer = await lab.send(cmd.Stop())
    assert "run --resume" in answer.effect
    assert await lab.ended() == "stopped"
    assert lab.state.steps[step.number].ended is None
    lab.evaluator.hold_no_more()
    lab.start()
    await lab.until(lambda: lab.state.steps[step.number].ended)
    assert lab.state.steps[step.number].outcome in {"committed", "nothing"}
    await lab.stop()
    lab.check_whole()


@pytest.mark.parametrize("paused", [None, "after_tool", "now"])
async def test_rewind_in_the_middle_of_a_step(make_lab: MakeLab, paused: PauseMode | None) -> None:
    lab = await slow_lab(make_lab, versions=3)
    head, running = lab.state.session.head, await lab.held()
    assert head is not None and head >= 2
    if paused:
        await lab.send(cmd.Pause(mode=paused))
        if paused == "now":
            await lab.in_state("paused")
    step = lab.state.current_step
    assert step is not None
    answer = await lab.send(cmd.Rewind(version=1, reason="the other tiling"))
    assert "v1 is the head" in answer.effect and f"step {step.number} ends" in answer.effect
    await lab.until(lambda: lab.state.steps[step.number].ended)
    ended = lab.state.steps[step.number]
    assert ended.outcome == "rewound" and "the other tiling" in ended.reason
    kept = [a for a in lab.state.attempts.values() if a.step == step.number]
    assert running in {a.candidate for a in kept}
    assert all(a.verdict is not None for a in kept)
    assert lab.state.session.head == 1
    if paused:
        await lab.in_state("paused")
        await lab.send(cmd.Resume())
    lab.evaluator.let_go()
    await lab.until(lambda: lab.state.session.step > step.number)
    assert lab.state.steps[step.number + 1].parent == 1
    await lab.stop()
    state = lab.check_whole()
    assert len(state.versions) >= 3, "nothing is ever removed"


async def test_rewind_tells_the_reason_and_rewinding_again_undoes_it(make_lab: MakeLab) -> None:
    told: list[tuple[int, str | None]] = []

    async def look(bench: Workbench) -> StepOutcome:
        told.append((bench.reading.head.number, bench.reading.rewind_reason()))
        await bench.control.boundary("looking")
        return StepOutcome(outcome="nothing")

    async def commit(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "better")
        await bench.evaluating.submit(attempt, "", "")
        return StepOutcome(outcome="committed")

    operator = Scripted(commit)
    lab = make_lab()
    lab.start(operator)
    await lab.until(lambda: lab.state.session.step == 2)
    operator.steps.append(look)
    first = await lab.send(cmd.Rewind(version=0, reason="start over"))
    assert first.effect == "v0 is the head; 1 version stay as a branch; step 2 ends"
    await lab.until(lambda: told)
    assert told == [(0, "start over")]
    await lab.until(lambda: lab.state.session.step == 4)
    operator.steps.append(look)
    back = await lab.send(cmd.Rewind(version=1))
    assert back.refused is None and "branch" not in back.effect
    await lab.until(lambda: len(told) == 2)
    assert told[1] == (1, "no reason was given")
    assert lab.state.session.head == 1


async def test_after_a_rewind_the_gate_compares_with_the_new_line(make_lab: MakeLab) -> None:
    async def best(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2", WIDTH="16"), "best")
        assert (await bench.evaluating.submit(attempt, "", "")).version is not None
        return StepOutcome(outcome="committed")

    async def small(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(
            with_values(TILE_K="64"), "small gain over the seed"
        )
        word = await bench.evaluating.submit(attempt, "", "")
        assert word.version is not None and word.version.gate.reference == 0
        assert word.version.parent == 0
        return StepOutcome(outcome="committed")

    operator = Scripted(best)
    lab = make_lab()
    lab.start(operator)
    await lab.until(lambda: lab.state.session.step == 2)
    operator.steps.append(small)
    await lab.send(cmd.Rewind(version=0))
    await lab.until(lambda: 2 in lab.state.versions)
    await lab.until(lambda: lab.state.steps[3].ended)
    assert lab.state.steps[3].outcome == "committed", lab.state.steps[3].reason
    assert lab.state.session.head == 2
    assert lab.state.best is not None and lab.state.best.number == 1


async def test_rewind_is_refused_for_what_is_not_there(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    answer = await lab.send(cmd.Rewind(version=99))
    assert answer.refused is not None and "v99 is not in the lineage" in answer.refused
    assert lab.state.session.head is not None


async def test_abort_ends_the_step_and_the_run_goes_on(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    step = lab.state.current_step
    assert step is not None
    lab.evaluator.hold_no_more()
    await lab.send(cmd.AbortStep(reason="no good"))
    await lab.until(lambda: lab.state.steps[step.number].ended)
    assert lab.state.steps[step.number].outcome == "aborted"
    assert lab.state.steps[step.number].reason == "no good"
    await lab.until(lambda: lab.state.session.step > step.number)


async def test_aborting_nothing_is_refused(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.02))
    lab.start()
    await lab.versions(1)
    await lab.send(cmd.Pause(mode="after_step"))
    await lab.in_state("paused")
    assert (await lab.send(cmd.AbortStep())).refused == "no step is running"


async def test_junk_in_the_inbox_is_refused(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.02))
    (lab.folder / "inbox" / "0001-junk.json").write_text('{"kind": "explode"}')
    lab.start()
    await lab.until(lambda: lab.of(ev.CommandTaken))
    taken = lab.of(ev.CommandTaken)[0]
    assert taken.refused and taken.command == "unreadable"
    await lab.versions(1)


async def test_commands_sent_before_the_engine_starts_are_taken(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.02))
    identity = send_command(lab.folder, cmd.Pause())
    lab.start()
    await lab.in_state("paused")
    assert lab.state.commands[identity].refused is None


def every_command() -> list[Callable[[], cmd.Command]]:
    return [
        lambda: cmd.Pause(),
        lambda: cmd.Pause(mode="now"),
        lambda: cmd.Pause(mode="after_step"),
        lambda: cmd.Resume(),
        lambda: cmd.SendHint(text="WIDTH=8"),
        lambda: cmd.SendHint(text="UNROLL=2", delivery="now", scope="step"),
        lambda: cmd.AbortStep(),
        lambda: cmd.Rewind(version=0),
        lambda: cmd.Rewind(version=1),
        lambda: cmd.Approve(),
        lambda: cmd.Reject(),
        lambda: cmd.Supervise(level="restart"),
        lambda: cmd.Supervise(level="stop_step"),
        lambda: cmd.Remeasure(version=0),
        lambda: cmd.Submit(candidate=with_values(UNROLL="2", TILE_K="128")),
        lambda: cmd.SetBookmark(version=0, label="x"),
    ]


@pytest.mark.parametrize("chance", range(4))
async def test_whatever_is_pressed_in_whatever_order(make_lab: MakeLab, chance: int) -> None:
    import random

    rng = random.Random(chance)
    lab = make_lab(None, FakeEvaluator(seconds=0.02, paired_seconds=0.01))
    lab.start()
    await lab.versions(2)
    for _ in range(25):
        await lab.send(rng.choice(every_command())())
        await asyncio.sleep(rng.choice([0, 0, 0.01, 0.03]))
    await lab.send(cmd.Resume())
    mark = len(lab.evaluator.evaluations)
    await lab.until(lambda: len(lab.evaluator.evaluations) > mark + 2)
    await lab.stop()
    state = lab.check_whole()
    open_attempts = [a for a in state.attempts.values() if a.verdict is None]
    assert open_attempts == []
    assert all(c.effect or c.refused for c in state.commands.values())


async def test_a_working_candidate_that_was_not_evaluated_is_kept(make_lab: MakeLab) -> None:
    """A step that is rewound loses no work: what was being edited is an attempt."""
    draft = with_values(TILE_K="128")

    async def edit(bench: Workbench) -> StepOutcome:
        bench.recording.keep(draft.canonical())
        bench.recording.record(
            ev.CandidateEdited(candidate=draft.id, parent=0, title="half of an idea", diff="…")
        )
        await bench.control.interruptible(asyncio.sleep(LONG))
        return StepOutcome(outcome="nothing")

    async def commit(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "better")
        await bench.evaluating.submit(attempt, "", "")
        return StepOutcome(outcome="committed")

    lab = make_lab()
    lab.start(Scripted(commit, edit))
    await lab.until(lambda: any(e.candidate == draft.id for e in lab.of(ev.CandidateEdited)))
    await lab.send(cmd.Rewind(version=0, reason="elsewhere"))
    await lab.until(lambda: lab.state.steps[2].ended)
    kept = lab.state.attempts[2, 1]
    assert (kept.candidate, kept.title) == (draft.id, "half of an idea")
    assert kept.verdict is Verdict.CANCELLED
    assert "not evaluated: rewound from v1 to v0: elsewhere" in kept.reason
    assert draft.id not in lab.evaluator.evaluations
    assert lab.run.candidate(kept.candidate) == draft
    assert not lab.state.attempts[kept.step, kept.number].verdict.judges_candidate  # type: ignore[union-attr]
