"""The person's commands: each with its effect, or the reason it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps, Spend
from avo_tui.domain.records import PauseMode, RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.operators.ports import Interrupted, StepOutcome, SubmitResult, Workbench
from avo_tui.store import send_command
from tests.evolution.fake_evaluator import FakeEvaluator, seed
from tests.evolution.laboratory import Laboratory, MakeLab
from tests.evolution.test_engine import Scripted, capped, with_values

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
    await lab.send(cmd.Rewind(version=0, reason="start over"))
    await lab.until(lambda: told)
    assert told == [(0, "start over")]
    await lab.until(lambda: lab.state.session.step == 4)
    operator.steps.append(look)
    back = await lab.send(cmd.Rewind(version=1))
    assert back.refused is None
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


# -- hints


async def test_a_hint_pins_a_tunable_until_cleared(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.start()
    await lab.versions(1)
    answer = await lab.send(cmd.SendHint(text="WIDTH=4", scope="until_cleared"))
    assert answer.effect.startswith("queued")
    await lab.until(lambda: lab.state.hints[answer.id].effect)
    hint = lab.state.hints[answer.id]
    assert hint.state == "delivered" and hint.effect == "WIDTH is pinned to 4"
    assert "step" in hint.where and "attempt" in hint.where
    mark = len(lab.state.attempts)
    await lab.until(lambda: len(lab.state.attempts) >= mark + 6)
    later = list(lab.state.attempts.values())[mark:]
    for attempt in later:
        source = lab.run.candidate(attempt.candidate).files["kernel.cpp"]
        assert "WIDTH = 4;" in source
    await lab.send(cmd.ClearHint(hint=answer.id))
    assert lab.state.hints[answer.id].state == "cleared"
    again = await lab.send(cmd.ClearHint(hint=answer.id))
    assert again.refused == "the hint is cleared already"
    assert (await lab.send(cmd.ClearHint(hint="nope"))).refused == "there is no hint nope"


async def test_a_hint_now_interrupts_and_the_work_is_done_again(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    answer = await lab.send(cmd.SendHint(text="make it fast", delivery="now"))
    assert answer.effect == "delivered now"
    await lab.until(lambda: lab.state.hints[answer.id].state == "delivered")
    assert lab.evaluator.cancelled == 1
    assert "not understood by the tuner" in lab.state.hints[answer.id].effect
    await lab.held()


async def test_end_of_turn_hints_wait_for_the_end_of_the_turn(make_lab: MakeLab) -> None:
    seen: list[list[str]] = []
    go = asyncio.Event()

    async def turn(bench: Workbench) -> StepOutcome:
        await go.wait()
        seen.append([h.text for h in await bench.control.boundary("before tool 1")])
        seen.append([h.text for h in await bench.control.boundary("end", end_of_turn=True)])
        return StepOutcome(outcome="nothing")

    lab = make_lab()
    lab.start(Scripted(turn))
    await lab.until(lambda: lab.state.current_step)
    await lab.send(cmd.SendHint(text="later", delivery="end_of_turn"))
    await lab.send(cmd.SendHint(text="soon", delivery="next_tool", scope="step"))
    go.set()
    await lab.until(lambda: len(seen) == 2)
    assert seen == [["soon"], ["later"]]
    await lab.until(lambda: lab.state.steps[1].ended)
    states = {h.text: h.state for h in lab.state.hints.values()}
    assert states == {"soon": "expired", "later": "delivered"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("NOPE=3", "NOPE is not a tunable of this kernel; the tunables are ALGORITHM"),
        ("WIDTH=5", "WIDTH cannot be 5; it may be 1, 4, 8, 16"),
        ("algorithm=online, width=16", "ALGORITHM is pinned to 2 (online); WIDTH is pinned to 16"),
        ("please use tensor cores", "not understood by the tuner: write NAME=value"),
    ],
)
async def test_what_a_hint_did_is_said(make_lab: MakeLab, text: str, says: str) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.start()
    await lab.versions(1)
    answer = await lab.send(cmd.SendHint(text=text, scope="step"))
    await lab.until(lambda: lab.state.hints[answer.id].effect)
    assert lab.state.hints[answer.id].effect.startswith(says)


async def test_an_operator_may_let_an_interruption_pass(make_lab: MakeLab) -> None:
    tries: list[int] = []

    async def careless(bench: Workbench) -> StepOutcome:
        tries.append(1)
        if len(tries) < 2:
            await bench.control.interruptible(asyncio.sleep(LONG))
        return StepOutcome(outcome="nothing")

    lab = make_lab()
    lab.start(Scripted(careless, careless))
    await lab.until(lambda: tries)
    await lab.send(cmd.Pause(mode="now"))
    await lab.in_state("paused")
    assert lab.state.current_step is not None, "the step is not over"
    await lab.send(cmd.Resume())
    await lab.until(lambda: lab.state.steps[1].ended)
    assert len(tries) == 2


async def test_interruptible_raises_interrupted_and_keeps_what_is_complete(
    make_lab: MakeLab,
) -> None:
    seen: list[str] = []

    async def done() -> str:
        return "complete"

    async def work(bench: Workbench) -> StepOutcome:
        seen.append(await bench.control.interruptible(done()))
        try:
            await bench.control.interruptible(asyncio.sleep(LONG))
        except Interrupted as error:
            seen.append(error.reason)
        await bench.control.boundary("after")
        return StepOutcome(outcome="nothing")

    lab = make_lab()
    lab.start(Scripted(work))
    await lab.until(lambda: seen)
    await lab.send(cmd.SendHint(text="hear", delivery="now"))
    await lab.until(lambda: lab.state.steps[1].ended)
    assert seen == ["complete", "a hint"]


# -- approval


async def approving(make_lab: MakeLab) -> Laboratory:
    async def commit(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "better")
        while True:
            try:
                word = await bench.evaluating.submit(attempt, "a plan", "")
            except Interrupted:
                await bench.control.boundary("before the gate")
                continue
            return StepOutcome(
                outcome="committed" if word.version else "nothing", reason=word.reason
            )

    lab = make_lab(RunSettings(approve_commits=True))
    lab.start(Scripted(commit))
    await lab.until(lambda: lab.state.pending_approval)
    return lab


async def test_approve(make_lab: MakeLab) -> None:
    lab = await approving(make_lab)
    assert len(lab.state.versions) == 1
    answer = await lab.send(cmd.Approve())
    assert answer.effect == "attempt 1.1 is committed"
    await lab.versions(2)
    assert (await lab.send(cmd.Approve())).refused == "no commit waits for approval"


async def test_reject(make_lab: MakeLab) -> None:
    lab = await approving(make_lab)
    await lab.send(cmd.Reject(reason="unreadable"))
    await lab.until(lambda: lab.state.steps[1].ended)
    assert len(lab.state.versions) == 1
    assert lab.state.attempts[1, 1].reason == "rejected by the person: unreadable"


async def test_a_person_is_not_asked_twice_about_the_same_source(make_lab: MakeLab) -> None:
    lab = await approving(make_lab)
    await lab.send(cmd.Reject(reason="unreadable"))
    await lab.until(lambda: lab.state.steps[1].ended)
    await lab.stop()
    words: list[SubmitResult] = []

    async def once_more(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "the same again")
        words.append(await bench.evaluating.submit(attempt, "a plan", ""))
        return StepOutcome(outcome="nothing")

    lab.start(Scripted(once_more))
    await lab.until(lambda: words)
    assert words[0].version is None
    assert words[0].reason == (
        "the same source was refused in attempt 1 of step 1: rejected by the person: unreadable"
    )
    assert len(lab.of(ev.ApprovalRequested)) == 1


async def test_approval_survives_a_pause_and_a_crash(make_lab: MakeLab) -> None:
    lab = await approving(make_lab)
    measured = len(lab.evaluator.paired)
    await lab.send(cmd.Pause(mode="now"))
    await lab.in_state("paused")
    await lab.send(cmd.Resume())
    await lab.until(lambda: lab.state.session.state == "running")
    assert lab.state.pending_approval is not None
    assert len(lab.evaluator.paired) == measured, "what is on record is not measured again"
    await lab.killed()

    async def go_on(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "better, again")
        await bench.control.boundary("looking")
        return StepOutcome(outcome="nothing", reason=str(attempt.report.cached))

    lab.start(Scripted(go_on))
    await lab.until(lambda: lab.state.steps[1].ended)
    assert lab.state.pending_approval is None


# -- the rest


async def test_bookmark_and_note(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    assert (
        await lab.send(cmd.SetBookmark(version=0, label="start"))
    ).effect == "v0 is marked start"
    await lab.send(cmd.Annotate(version=0, text="where it began"))
    version = lab.state.versions[0]
    assert (version.bookmark, version.note) == ("start", "where it began")
    await lab.send(cmd.SetBookmark(version=0, label=None))
    version = lab.state.versions[0]
    assert (version.bookmark, version.note) == (None, "where it began")
    assert (await lab.send(cmd.SetBookmark(version=7, label="x"))).refused is not None
    assert (await lab.send(cmd.Annotate(version=7, text="x"))).refused is not None


async def test_memory(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    await lab.send(cmd.EditMemory(text="tiles of 64 spill", category="failed"))
    (note,) = lab.state.memory.values()
    assert (note.text, note.category, note.author) == ("tiles of 64 spill", "failed", "person")
    await lab.send(cmd.EditMemory(note=note.id, text="tiles of 128 spill"))
    assert lab.state.memory[note.id].text == "tiles of 128 spill"
    too_much = "x" * 10_000
    await lab.send(cmd.EditMemory(text=too_much))
    refused = await lab.send(cmd.EditMemory(text=too_much))
    assert refused.refused is not None and "limit is 16000" in refused.refused
    await lab.send(cmd.EditMemory(note=note.id, text=None))
    assert note.id not in lab.state.memory
    assert (await lab.send(cmd.EditMemory(note="nope", text="x"))).refused is not None


async def test_remeasure_keeps_the_score_at_the_gate(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.start()
    await lab.versions(2)
    gate = lab.state.versions[1].aggregate
    answer = await lab.send(cmd.Remeasure(version=1))
    assert "v1 measured again" in answer.effect
    version = lab.state.versions[1]
    assert version.aggregate == gate and len(version.remeasurements) == 1
    assert (await lab.send(cmd.Remeasure(version=99))).refused is not None


async def test_submit_by_hand_while_paused(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.hold_from(1)
    lab.start()
    await lab.held()
    await lab.send(cmd.Pause(mode="after_step"))
    lab.evaluator.let_go()
    await lab.in_state("paused")
    best = with_values(ALGORITHM="2", WIDTH="16", FAST_EXP="true", TILE_K="64", UNROLL="4")
    answer = await lab.send(cmd.Submit(candidate=best, plan="everything", summary="by hand"))
    assert "committed as" in answer.effect
    newest = lab.state.versions[max(lab.state.versions)]
    assert newest.author == "person" and newest.plan == "everything"
    assert lab.state.session.head == newest.number
    assert lab.state.session.state == "paused", "still paused"
    edited = [e for e in lab.of(ev.CandidateEdited) if e.candidate == best.id]
    assert edited and edited[0].added > 0 and "+constexpr int WIDTH = 16" in edited[0].diff
    again = await lab.send(cmd.Submit(candidate=best))
    assert again.effect == f"the same source is v{newest.number} already"
    missing = await lab.send(cmd.Submit(candidate=seed(), parent=99))
    assert missing.refused is not None


async def test_submit_by_hand_in_the_middle_of_a_step(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    worse = with_values(UNROLL="8")
    identity = send_command(lab.folder, cmd.Submit(candidate=worse, plan="try 8"))
    await lab.until(lambda: lab.run.control.jobs)
    lab.evaluator.let_go()
    await lab.until(lambda: identity in lab.state.commands)
    answer = lab.state.commands[identity]
    assert "not committed" in answer.effect
    await lab.stop()
    lab.check_whole()


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
        bench.recording.spent(Spend(usd=0.9, input_tokens=10, requests=1))
        await bench.control.boundary("after the request")
        assert bench.control.budget_left() is None
        bench.recording.spent(Spend(usd=0.2))
        assert bench.control.budget_left() == "budget of the run: 1.1 of 1 usd"
        return StepOutcome(outcome="nothing")

    lab = make_lab(capped(usd=1.0))
    lab.start(Scripted(spend))
    assert await lab.ended() == "finished"
    assert lab.state.steps[1].outcome == "nothing", lab.state.steps[1].reason
    assert [(w.unit, w.exhausted) for w in lab.of(ev.BudgetWarned)] == [
        ("usd", False),
        ("usd", True),
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


async def test_a_command_on_a_version_whose_source_is_lost_is_refused(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    await lab.until(lambda: lab.state.versions)
    lab.writer.objects.path(lab.state.versions[0].candidate).unlink()
    answer = await lab.send(cmd.Remeasure(version=0))
    assert answer.refused is not None and "is missing" in answer.refused
    assert lab.task is not None and not lab.task.done()
    await lab.stop()


async def test_a_run_that_stands_still_gives_back_the_worker_s_memory(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.evolution.run.REST_SECONDS", 0.01)
    lab = make_lab()
    rested: list[str] = []

    async def rest() -> None:
        rested.append(lab.state.session.state)

    lab.evaluator.rest = rest  # type: ignore[attr-defined]
    lab.start()
    await lab.versions(1)
    assert rested == []
    await lab.send(cmd.Pause())
    await lab.until(lambda: rested)
    assert rested == ["paused"]
    await lab.send(cmd.Resume())
    await lab.until(lambda: lab.state.session.state == "running")
