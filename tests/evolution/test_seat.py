"""The operator `seat`: an agent outside makes the steps through the socket of the engine."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain import stall_rules
from avo_tui.domain.commands import (
    AbortStep,
    Pause,
    Resume,
    Rewind,
    SendHint,
    Supervise,
)
from avo_tui.domain.gate_plan import GatePlan
from avo_tui.domain.questions import MachineQuestion
from avo_tui.domain.verdict import Verdict
from avo_tui.domain.workers import QueueSeen
from avo_tui.operators.seat import step as seat_step
from avo_tui.operators.seat.operator import SeatOperator
from avo_tui.operators.seat.wire import Answer, Hello
from avo_tui.seat.brief import brief
from avo_tui.seat.client import SeatClient
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import Laboratory, MakeLab
from tests.evolution.seat_lab import (
    DEADLINE,
    HELLO,
    begun,
    evaluating,
    improve,
    seated,
    settings,
)


async def test_a_step_from_its_opening_to_a_version(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    early = await client.call("read_candidate")
    assert not early.ok and "begin_step" in early.text
    assert (await client.call("list_versions")).ok, "what only reads the record needs no step"
    opening = await client.call("begin_step")
    assert opening.ok and "Pretend kernel" in opening.text and "UNROLL = 1" in opening.text
    answer = await improve(client)
    assert answer.ok and answer.step_ended and "Committed as v1" in answer.text
    decision = lab.state.versions[1].gate
    assert decision.replicates and sum(decision.spent.values()) > 0
    assert f"{decision.replicates} pairs measured in" in answer.text, "what the gate's time went on"
    assert "benchmark 0." in answer.text
    await lab.until(lambda: len(lab.of(ev.StepFinished)) == 1)
    assert lab.of(ev.StepFinished)[0].outcome == "committed"
    again = await client.call("begin_step")
    assert "Step 2: vary v1" in again.text
    assert [e.tool for e in lab.of(ev.ToolCalled)][:4] == [
        "list_versions",
        "begin_step",
        "replace_text",
        "evaluate",
    ]
    assert lab.state.versions[1].maker == "seat (an agent)"
    assert lab.state.session.occupant is not None
    assert lab.state.session.occupant.name == "an agent"
    await client.close()


@pytest.mark.parametrize(
    ("bias", "noise", "outcome"),
    [(1.0, 0.0, "accepted"), (0.7, 0.0, "refused"), (0.9, 0.1, "unclear")],
)
async def test_the_gates_answer_has_the_gain_on_each_configuration(
    make_lab: MakeLab, bias: float, noise: float, outcome: str
) -> None:
    """Also where nothing is committed: they decide what is tried next."""
    lab = begun(make_lab)
    lab.evaluator.paired_bias = bias
    lab.evaluator.replicate_bias = lambda replicate: 1 + (noise if replicate % 2 else -noise)
    async with await seated(lab) as client:
        await client.call("begin_step")
        answer = await improve(client)
        assert lab.of(ev.GateDecided)[0].decision.outcome == outcome
        _, _, gains = answer.text.partition("At the gate, with 95% intervals: ")
        for name in ("small", "large"):
            assert re.search(rf"  {name}: [+-][\d.]+% \[.*% to .*%\] over v0 in \d+ pair", gains)
        if outcome != "accepted":
            read = await client.call("read_attempt", {"step": 1, "number": 1})
            assert all(row.partition(": ")[2] in read.text for row in gains.splitlines()[1:])


async def test_the_wait_for_a_caller_who_never_comes_back_does_not_count(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command line each call is a visit of its own: whether the agent thinks or has gone
    is known only when it calls again."""
    caller = Hello(client="command line", way="command_line")
    lab = make_lab(settings())
    lab.start(SeatOperator(lab.settings))
    for call, away in (("begin_step", 300), ("list_versions", 500)):
        client = await seated(lab, caller)
        assert (await client.call(call)).ok
        await client.close()
        await lab.until(lambda: lab.run.clock.in_doubt)
        lab.pass_time(away)
    monkeypatch.setattr("avo_tui.operators.seat.door.TAKEN_SECONDS", 0.0)
    monkeypatch.setattr("avo_tui.operators.seat.door.EMPTY_SECONDS", 0.0)
    await lab.until(lambda: "nobody sits" in lab.state.session.state_reason)
    await lab.stop()
    assert 300 <= lab.state.session.spend.seconds < 500


async def test_a_hint_comes_with_the_next_answer_and_counts_as_delivered_then(
    make_lab: MakeLab,
) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    await client.call("begin_step")
    sent = await lab.send(SendHint(text="try tiles of 64"))
    assert lab.state.hints[sent.id].state == "queued"
    answer = await client.call("list_versions")
    assert [letter.sender for letter in answer.letters] == ["person"]
    assert "try tiles of 64" in answer.letters[0].text and "try tiles of 64" in answer.whole()
    assert lab.state.hints[sent.id].state == "delivered"
    assert not (await client.call("list_versions")).letters
    await client.close()


async def test_a_hint_given_while_nobody_sits_there_waits_for_the_opening(
    make_lab: MakeLab,
) -> None:
    lab = begun(make_lab)
    await lab.versions(1)
    sent = await lab.send(SendHint(text="mind the edges", delivery="end_of_turn"))
    client = await seated(lab)
    opening = await client.call("begin_step")
    assert "mind the edges" in opening.whole()
    assert lab.state.hints[sent.id].state == "delivered"
    await client.close()
    second = await seated(lab, Hello(client="another", way="mcp"))
    assert "mind the edges" in (await second.call("begin_step")).text
    await second.close()


async def test_a_paused_run_holds_the_tool_until_it_is_resumed(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    await client.call("begin_step")
    await lab.send(Pause(mode="after_tool"))
    await lab.in_state("paused")  # also while no tool is at work
    call = asyncio.create_task(client.call("list_versions"))
    await lab.until(lambda: lab.engine is not None)
    await asyncio.sleep(0.05)
    assert not call.done()
    await lab.send(Resume())
    assert (await call).ok
    await client.close()


async def test_pause_now_interrupts_an_evaluation_and_says_so(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client, call = await evaluating(lab)
    await lab.send(Pause(mode="now"))
    answer = await call
    assert not answer.ok and "Interrupted" in answer.text
    await client.close()


SWEEP = {"sweep": {"UNROLL_BY": ["2", "4"]}, "pairs": 2}


async def benching(lab: Laboratory) -> tuple[SeatClient, asyncio.Task[Answer]]:
    """A client whose `bench` has one pair of each variant, and hangs in the next."""
    lab.evaluator.hold_paired = 1
    client = await seated(lab)
    assert (await client.call("begin_step")).ok
    call = asyncio.create_task(client.call("bench", SWEEP))
    async with asyncio.timeout(240):
        while client.working is None or "pair 2 of 2, 1 of 2" not in client.working.working:
            await asyncio.sleep(0.01)
    return client, call


async def test_who_waits_for_a_bench_is_told_what_it_does_and_keeps_what_it_gave(
    make_lab: MakeLab,
) -> None:
    lab = begun(make_lab)
    client, call = await benching(lab)
    async with client:
        assert client.working is not None
        first, second = client.working.results
        assert "UNROLL_BY=2 1.0000 by 1 pair" in first and "UNROLL_BY=4" in second
        await lab.send(Pause(mode="now"))
        answer = await call
        assert not answer.ok and "Interrupted before it was finished" in answer.text
        assert "UNROLL_BY=2: 1.0000 [" in answer.text and "UNROLL_BY=4: 1.0000 [" in answer.text
        assert client.working is None
        await lab.send(Resume())
        again = await client.call("read_result", {"call": answer.call})
        assert "UNROLL_BY=4: 1.0000 [" in again.text


async def test_what_a_bench_gave_outlives_the_engine(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client, call = await benching(lab)
    await lab.killed()
    await client.close()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    (lab.folder / "seat.json").unlink(missing_ok=True)
    lab.evaluator.hold_paired = None
    lab.start(SeatOperator(lab.settings))
    async with await seated(lab) as newcomer:
        opening = await newcomer.call("begin_step")
        assert "c2 was cut off: UNROLL_BY=2 1.0000 by 1 pair" in opening.text
        kept = await newcomer.call("read_result", {"call": "c2"})
        assert kept.ok and "UNROLL_BY=4 1.0000 by 1 pair" in kept.text


async def test_a_client_that_does_not_ask_is_told_answers_only(make_lab: MakeLab) -> None:
    """Such as one of an older version, which knows nothing else."""
    lab = begun(make_lab)
    async with await seated(lab):
        pass
    pointer = json.loads((lab.folder / "seat.json").read_text())
    reader, writer = await asyncio.open_unix_connection(pointer["socket"])
    lines = [HELLO.model_dump(exclude={"hears"}), {"id": 1, "tool": "begin_step"}]
    lines += [{"id": 2, "tool": "bench", "arguments": SWEEP}]
    writer.writelines(json.dumps(line).encode() + b"\n" for line in lines)
    async with asyncio.timeout(240):
        got = [json.loads(await reader.readline()) for _ in range(3)]
    writer.close()
    assert [message.get("id") for message in got[1:]] == [1, 2] and got[2]["ok"]


async def test_a_rewind_ends_the_step_and_the_next_one_begins_there(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    await client.call("begin_step")
    assert (await improve(client)).step_ended
    assert "vary v1" in (await client.call("begin_step")).text
    await lab.send(Rewind(version=0, reason="the other tiling"))
    told = await client.call("read_candidate")
    assert not told.ok and any("rewound" in letter.text for letter in told.letters)
    opening = await client.call("begin_step")
    assert "vary v0" in opening.text and "the other tiling" in opening.text
    await client.close()


async def test_an_abort_in_the_middle_of_a_tool_is_its_answer(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client, call = await evaluating(lab)
    await lab.send(AbortStep(reason="enough"))
    answer = await call
    if not answer.step_ended:  # the tool was cut off first; the next one is told
        answer = await client.call("list_versions")
    assert "enough" in answer.whole()
    await client.close()


async def test_the_supervisor_speaks_in_the_next_answer(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    await client.call("begin_step")
    await lab.send(Supervise(level="redirect", directions=("another layout of the keys",)))
    answer = await client.call("list_versions")
    assert [letter.sender for letter in answer.letters] == ["supervisor"]
    assert "another layout of the keys" in answer.letters[0].text
    await client.close()


async def test_a_newcomer_is_not_nudged_for_the_time_of_those_before(make_lab: MakeLab) -> None:
    """The limit on seconds counts since it sat down; who comes back goes on with its own count."""
    lab = begun(make_lab, options={"supervisor.seconds": 2700})
    first = await seated(lab, Hello(client="first", way="mcp"))
    assert (await first.call("begin_step")).ok
    lab.pass_time(2600)
    assert (await first.call("recall")).ok
    await first.close()
    second = await seated(lab, Hello(client="second", way="mcp"))
    assert (await second.call("begin_step")).ok
    lab.pass_time(2600)
    lab.run.settle()
    assert (await second.call("recall")).ok
    assert not lab.of(ev.SupervisorIntervened), "5,200 s in all, 2,600 of the second"
    assert lab.state.session.occupant is not None
    assert lab.state.session.occupant.seconds_at == pytest.approx(2600, abs=100)
    lab.pass_time(200)
    lab.run.settle()
    assert (await second.call("recall")).ok
    assert len(lab.of(ev.SupervisorIntervened)) == 1
    await second.close()


class WaitingEvaluator(FakeEvaluator):
    """As one whose device comes and goes: what waits is told."""

    def __init__(self) -> None:
        super().__init__()
        self.foreseen: list[str] = []
        self.working = 0

    def queue(self) -> QueueSeen:
        return QueueSeen(waiting=2, working=self.working)

    def foresee(self, plan: GatePlan) -> None:
        self.foreseen.append(plan.comparison.candidate)


async def test_an_agent_goes_on_while_its_calls_wait_for_a_device(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat_step, "ASIDE_SECONDS", 0.05)
    monkeypatch.setattr(seat_step, "WAIT_SECONDS", 0.05)
    lab = make_lab(settings())
    lab.evaluator = evaluator = WaitingEvaluator()
    lab.start(SeatOperator(lab.settings))
    lab.hold_from(1)
    async with await seated(lab) as client:
        await client.call("begin_step")
        await client.call("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 4"})
        aside = await client.call("evaluate", {"title": "four at a time"})
        assert aside.ok and "waits as call c3: 2 requests wait; no worker yet" in aside.text
        assert evaluator.foreseen, "the gate's pairs go with the evaluation"
        beside = await client.call("compile")
        assert beside.ok, "what needs no device is not held up"
        assert "Without an answer yet: evaluate (c3); 2 requests wait" in beside.whole()
        waits = await client.call("wait")
        assert "No answer yet of evaluate (c3): 2 requests wait" in waits.text
        evaluator.let_go()
        letters = [letter.text for letter in (await client.call("wait")).letters]
        async with asyncio.timeout(DEADLINE):
            while not letters:
                letters += [letter.text for letter in (await client.call("wait")).letters]
        assert letters[0].startswith("Answer of call c3, evaluate:\nattempt 1.1\nverdict: correct")
        evaluator.paired_seconds = 0.2
        aside = await client.call("submit", {"summary": "four at a time are faster"})
        assert "submit waits as call" in aside.text
        await client.call("replace_text", {"old": "UNROLL = 4", "new": "UNROLL = 2"})
        lab.hold_from(1)
        late = await client.call("evaluate", {"title": "two at a time"})
        assert re.search(r"If c\d+ is committed first, the step ends and this call", late.text)
        await lab.until(lambda: lab.of(ev.StepFinished))
        assert lab.of(ev.StepFinished)[0].outcome == "committed"
        left = lab.state.attempts[1, 2]
        assert left.verdict is Verdict.CANCELLED and left.reason == "the step has ended"
        letters = [letter.text for letter in (await client.call("begin_step")).letters]
        assert any("submit:\nCommitted as v1" in text for text in letters)
        assert any("Not run, as the step has ended: evaluate (c" in text for text in letters)


async def test_what_waits_together_is_one_thing_tried(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a batch counts as failures before its answers were read."""
    monkeypatch.setattr(seat_step, "ASIDE_SECONDS", 0.05)
    lab = make_lab(settings())
    lab.evaluator = evaluator = WaitingEvaluator()
    lab.start(SeatOperator(lab.settings))
    lab.hold_from(1)
    async with await seated(lab) as client:
        await client.call("begin_step")
        old = 1
        for value in (2, 4, 8):
            await client.call(
                "replace_text", {"old": f"UNROLL = {old}", "new": f"UNROLL = {value}"}
            )
            old = value
            await client.call("evaluate", {"title": f"{value} at a time"})
        submit = await client.call("submit", {"summary": "eight at a time are faster"})
        assert re.search(r"not run: evaluate \(c\d+\), evaluate \(c\d+\), ev", submit.text)
        evaluator.let_go()
        await lab.until(lambda: all(lab.state.attempts[1, n].verdict for n in (1, 2, 3)))
        assert stall_rules.stall(lab.state).attempts <= 1


async def test_the_task_is_told_once(make_lab: MakeLab) -> None:
    """An agent reads the brief and then the opening: what stands in both costs it twice."""
    lab = begun(make_lab)
    async with await seated(lab) as client:
        opening = (await client.call("begin_step")).text
        for configuration in lab.state.session.task.configurations:
            assert f"- `{configuration.name}`" in opening
            assert f"- `{configuration.name}`" not in brief(lab.state)


async def test_what_waits_can_be_taken_back_and_answers_are_read_before_a_step_ends(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step was ended to clear the queue, and another one with two answers unread."""
    monkeypatch.setattr(seat_step, "ASIDE_SECONDS", 0.05)
    monkeypatch.setattr(seat_step, "WAIT_SECONDS", 0.05)
    lab = make_lab(settings())
    lab.evaluator = evaluator = WaitingEvaluator()
    lab.start(SeatOperator(lab.settings))
    lab.hold_from(1)
    async with await seated(lab) as client:
        await client.call("begin_step")
        await client.call("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 4"})
        await client.call("evaluate", {"title": "four at a time"})
        assert "attempts without an answer yet: 1.1 since" in brief(lab.state)
        back = await client.call("wait", {"withdraw": ["c3", "c9"]})
        assert back.text == "Withdrawn: c3. No call that waits: c9."
        assert lab.state.attempts[1, 1].reason == "withdrawn"
        await client.call("replace_text", {"old": "UNROLL = 4", "new": "UNROLL = 2"})
        await client.call("evaluate", {"title": "two at a time"})
        evaluator.let_go()
        await lab.until(lambda: lab.state.attempts[1, 2].verdict)
        assert "attempts of this step that were answered: 1.1 cancelled, 1.2 co" in brief(lab.state)
        kept = await client.call("end_step", {"reason": "nothing came of it"})
        assert not kept.ok and "Not ended: answers have come" in kept.text
        assert any("evaluate:\nattempt 1.2" in letter.text for letter in kept.letters)
        assert (await client.call("end_step", {"reason": "nothing came of it"})).step_ended


async def test_no_worker_holds_up_the_seat_of_a_run_that_goes_on(make_lab: MakeLab) -> None:
    """Neither by telling the machine nor for an audit; both are made up for once one is there."""
    lab = make_lab(settings())
    lab.evaluator = evaluator = WaitingEvaluator()
    evaluator.working = 1
    lab.start(SeatOperator(lab.settings))
    async with await seated(lab) as client:
        await client.call("begin_step")
        assert "Committed as v1" in (await improve(client)).text
    await lab.stop()
    evaluator.working, evaluator.conditions = 0, "pretend-2"
    told = asyncio.Event()
    ask = evaluator.ask

    async def late(task: str, question: Any, progress: Any = None) -> Any:
        if isinstance(question, MachineQuestion):
            await told.wait()
        return await ask(task, question, *([progress] if progress else []))

    evaluator.ask = late  # type: ignore[method-assign]
    lab.start(SeatOperator(lab.settings))
    await lab.until(lambda: lab.state.session.engine is not None)
    await lab.stop()  # before it learned of a machine
    lab.start(SeatOperator(lab.settings))
    async with await seated(lab) as client:
        assert (await client.call("begin_step")).ok
        assert lab.run.conditions == "pretend-1"
        told.set()
        await lab.until(lambda: lab.run.conditions == "pretend-2")
        await client.call("end_step", {"reason": "nothing came of it"})
        opening = await client.call("begin_step")
        assert opening.ok and not lab.of(ev.VersionAudited)
        words = "v1 could not be measured again (the harness or the machine has changed): no worker"
        assert words in opening.text and "It is tried again between two steps at" in opening.text
        evaluator.working = 1
        await client.call("end_step", {"reason": "nothing came of it"})
        opening = await client.call("begin_step")
        assert opening.ok and "measured again" not in opening.text
        assert len(lab.of(ev.VersionAudited)) == 1
        (told_person,) = [t for t in lab.of(ev.TroubleNoted) if t.where == "audit"]
        assert words in told_person.message
