"""Who sits in the seat: two clients, one that dies, a used-up budget, the end of the engine."""

import asyncio
import re

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import (
    SendHint,
    Submit,
)
from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.external import make as external_operator
from avo_tui.operators.seat.operator import SeatOperator
from avo_tui.operators.seat.step import GRACE_SECONDS
from avo_tui.operators.seat.wire import Hello
from avo_tui.seat.client import SeatClient, SeatError, SeatLeftError, SeatNotThereError
from tests.evolution.fake_evaluator import SEED
from tests.evolution.laboratory import MakeLab
from tests.evolution.seat_lab import HELLO, begun, evaluating, seated, settings


async def test_a_second_client_is_told_who_sits_there_and_may_take_over(
    make_lab: MakeLab,
) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    await client.call("begin_step")
    await client.call("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 2"})
    with pytest.raises(SeatError, match="an agent sits in the seat"):
        await SeatClient.sit_down(lab.folder, Hello(client="second", way="mcp"))
    second = await SeatClient.sit_down(
        lab.folder, Hello(client="second", way="mcp", take_over=True)
    )
    with pytest.raises(SeatLeftError):
        await client.call("list_versions")
    opening = await second.call("begin_step")
    assert opening.step == 1
    assert "UNROLL = 2" in (await second.call("read_candidate")).text  # nothing is lost
    await client.close()  # who was sent away leaves the newcomer's seat alone
    with pytest.raises(SeatError, match="second sits in the seat"):
        await SeatClient.sit_down(lab.folder, Hello(client="third", way="mcp"))
    assert (await second.call("list_versions")).ok
    await second.close()


async def test_a_client_that_dies_in_an_evaluation_loses_nothing(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client, call = await evaluating(lab)
    await client.close()
    with pytest.raises((SeatLeftError, asyncio.CancelledError)):
        await call
    lab.evaluator.let_go()
    await lab.until(lambda: any(e.tool == "evaluate" for e in lab.of(ev.ToolReturned)))
    second = await seated(lab, Hello(client="second", way="mcp"))
    opening = await second.call("begin_step")
    assert any("had gone" in letter.text for letter in opening.letters)
    assert (await second.call("read_result", {"call": "c3"})).ok
    assert (await second.call("submit", {"summary": "two at a time is faster"})).step_ended
    await second.close()


async def test_whoever_takes_up_a_step_is_told_what_it_brought(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    first = await seated(lab)
    assert "This step so far" not in (await first.call("begin_step")).text
    plan = {"title": "unroll: 2%, since loads wait", "items": [{"text": "four at a time"}]}
    assert (await first.call("set_plan", plan)).ok
    edit = {"old": "UNROLL = 1", "new": "UNROLL = 2"}
    assert (await first.call("replace_text", edit)).ok
    assert (await first.call("evaluate", {"title": "two at a time"})).ok
    edit = {"old": "UNROLL = 2", "new": "UNROLL = 4"}
    assert (await first.call("replace_text", edit)).ok
    await first.close()
    second = await seated(lab, Hello(client="another agent", way="mcp"))
    text = (await second.call("begin_step")).text
    assert "The step goes on" in text and "parent's source, unchanged" not in text
    for words in ("unroll: 2%, since loads wait", "- [ ] four at a time", "1.1 (from v0)",
                  "two at a time", "c4 evaluate: attempt 1.1", "a draft, not evaluated yet",
                  "UNROLL = 4"):  # fmt: skip
        assert words in text, words
    assert (await second.call("reset_candidate", {})).ok
    text = (await second.call("begin_step")).text
    assert "This step so far" in text and "parent's source, unchanged" in text
    await second.close()


async def test_a_long_answer_is_whole_for_whoever_asks_for_it(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    await client.call("begin_step")
    lines = "".join(f"// line {number} of many\n" for number in range(3000))
    assert (await client.call("write_file", {"text": lines})).ok
    cut = await client.call("read_candidate")
    whole = await client.call("read_candidate", whole=True)
    assert len(whole.text) == whole.characters == cut.characters > 3 * len(cut.text)
    # The gap names where it begins: reading on from there leaves nothing out.
    offset = re.search(r'read_result\(call="(c\d+)", offset=(\d+)\)', cut.text)
    assert offset is not None
    head = cut.text[: cut.text.index("\n[…")]
    assert whole.text.startswith(head) and int(offset[2]) - len(head) <= 1
    rest = await client.call(
        "read_result", {"call": offset[1], "offset": int(offset[2]), "limit": 400}
    )
    assert rest.text.startswith(whole.text[int(offset[2]) :][:400])
    await client.close()


async def test_a_used_up_budget_lets_what_was_evaluated_be_submitted(make_lab: MakeLab) -> None:
    lab = begun(make_lab, budget=Budget(run=Caps(evaluations=2)))
    client = await seated(lab)
    await client.call("begin_step")
    await client.call("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 4"})
    tried = await client.call("evaluate", {"title": "four at a time"})
    assert any("budget is used up" in letter.text for letter in tried.letters)
    refused = await client.call("compile")
    assert not refused.ok and "budget is used up" in refused.text
    (short,) = (await client.call("list_attempts")).letters
    assert short.text == "The budget is used up."
    for tool, arguments in (
        ("reset_candidate", {}),
        ("read_candidate", {}),
        ("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 2"}),
    ):
        answer = await client.call(tool, arguments)
        assert answer.ok, (tool, answer.text)
    for tool in ("check", "evaluate", "profile", "bench", "disassemble"):
        assert "budget is used up" in (await client.call(tool)).text, tool
    other = await client.call("submit", {"summary": "another, never evaluated"})
    assert not other.ok and "not evaluated in this step" in other.text
    assert "budget of the run: 2 of 2 evaluations" in other.text
    await client.close()
    client = await seated(lab, Hello(client="a newcomer", way="mcp"))
    opening = await client.call("begin_step")
    assert opening.ok and "1.1" in opening.text
    assert any("may still be submitted" in letter.text for letter in opening.letters)
    note = await client.call("remember", {"category": "fact", "text": "Four at a time pays."})
    assert note.ok, note.text
    answer = await client.call("submit", {"summary": "four at a time is faster", "attempt": "1.1"})
    assert answer.step_ended and answer.run_ended, answer.text
    assert await lab.ended() == "finished"
    assert len(lab.state.versions) == 2
    await client.close()


async def test_who_still_calls_after_the_budget_has_time_to_say_what_was_learned(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr("avo_tui.operators.seat.step.monotonic", lambda: moment)
    lab = begun(make_lab, budget=Budget(run=Caps(evaluations=2)))
    async with await seated(lab) as client:
        await client.call("begin_step")
        await client.call("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 4"})
        await client.call("evaluate", {"title": "four at a time"})
        for _ in range(3):
            moment += GRACE_SECONDS - 1
            assert (await client.call("list_attempts")).ok
        answer = await client.call("end_step", {"reason": "Four at a time: nothing shown."})
        assert answer.ok and answer.run_ended
        await lab.ended()
        assert lab.of(ev.StepFinished)[-1].reason == "Four at a time: nothing shown."


async def test_the_end_of_the_engine_is_told_and_the_next_one_goes_on(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    await client.call("begin_step")
    await client.call("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 2"})
    await lab.stop()
    with pytest.raises(SeatLeftError):
        await client.call("list_versions")
    assert not (lab.folder / "seat.json").exists()
    with pytest.raises(SeatNotThereError):
        await SeatClient.sit_down(lab.folder, HELLO)
    lab.start(SeatOperator(lab.settings))
    client = await seated(lab)
    await client.call("begin_step")
    lab.check_whole()
    await client.close()


async def test_nonsense_on_the_socket_harms_nobody(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    client = await seated(lab)
    from avo_tui.operators.seat.wire import Pointer

    pointer = Pointer.model_validate_json((lab.folder / "seat.json").read_bytes())
    for junk in (b"\n", b"GET / HTTP/1.1\r\n\r\n", b'{"client": ""}\n', b"\xff" * 100):
        _, writer = await asyncio.open_unix_connection(pointer.socket)
        writer.write(junk)
        writer.close()
    unknown = await client.call("begin_step")
    assert unknown.ok
    odd = await client.call("no_such_tool", {"a": 1})
    assert not odd.ok and "There is no tool" in odd.text
    wrong = await client.call("evaluate", {"titel": "x"})
    assert not wrong.ok and "not valid" in wrong.text
    await client.close()


async def test_a_submission_from_outside_is_answered_with_the_hints(make_lab: MakeLab) -> None:
    traits = OperatorTraits(title="outside agent", steps_by_itself=False, ladder=())
    lab = make_lab(settings(operator="external", traits=traits))
    lab.start(external_operator(RunSettings()))
    await lab.versions(1)
    sent = await lab.send(SendHint(text="mind the short sequences"))
    assert lab.state.hints[sent.id].state == "queued"
    faster = Candidate(files={"kernel.cpp": SEED.replace("UNROLL = 1", "UNROLL = 4")})
    record = await lab.send(Submit(candidate=faster, plan="four at a time"))
    assert "committed as v1" in record.effect and "mind the short sequences" in record.effect
    hint = lab.state.hints[sent.id]
    assert hint.state == "delivered" and "four at a time" in hint.where
