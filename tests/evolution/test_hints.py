"""Hints to a running step: when they reach it, and what they change."""

import asyncio

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.operators.ports import Interrupted, StepOutcome, Workbench
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import MakeLab
from tests.evolution.test_control import LONG, slow_lab
from tests.evolution.test_engine import Scripted


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


async def test_of_two_hints_in_force_the_newer_one_holds(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.start()
    await lab.versions(1)
    for width in (16, 4):
        answer = await lab.send(cmd.SendHint(text=f"WIDTH={width}", scope="until_cleared"))
        await lab.until(lambda hint=answer.id: lab.state.hints[hint].effect)  # type: ignore[misc]
    mark = len(lab.state.attempts) + 1  # one may have been proposed between the two
    await lab.until(lambda: len(lab.state.attempts) >= mark + 4)
    for attempt in list(lab.state.attempts.values())[mark:]:
        assert "WIDTH = 4;" in lab.run.candidate(attempt.candidate).files["kernel.cpp"]


async def test_what_was_refused_cannot_be_undone(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.start()
    await lab.versions(2)
    done = await lab.send(cmd.SetBookmark(version=1, label="here"))
    assert done.undo == cmd.SetBookmark(version=1, label=None)
    for command in (cmd.Rewind(version=99), cmd.Resume(), cmd.Annotate(version=99, text="x")):
        record = await lab.send(command)
        assert record.refused is not None and record.undo is None
