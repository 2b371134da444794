"""SIGKILL between any two events: the step goes on in the same conversation."""

from collections import Counter
from typing import Any

import pytest

from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.events import (
    AttemptFinished,
    HintDelivered,
    MessageRecorded,
    ToolCalled,
    ToolReturned,
    VersionCommitted,
)
from avo_tui.domain.run_settings import RunSettings
from tests.loopback.server import Answer, Behaviour, Server, text, thinking, tool
from tests.operators.agent.helpers import answers, results, step, well_formed, whole
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source


def conversation() -> list[Answer]:
    """Answers with calls of every kind, parallel ones among them."""
    return [
        Answer([thinking("let us see"), tool("set_plan", title="Try", items=[{"text": "a"}])]),
        Answer([text("two at once"), tool("list_versions"), tool("read_candidate")]),
        Answer([tool("write_file", file="kernel.cpp", text=source(1.1, "SYNTAX"))]),
        Answer([tool("compile")]),
        Answer([tool("write_file", file="kernel.cpp", text=source(1.4))]),
        Answer([tool("evaluate", title="1.4"), tool("remember", category="fact", text="it holds")]),
        Answer([tool("submit", summary="faster by two fifths")]),
    ]


async def first_run() -> tuple[FakeWorkbench, list[Answer]]:
    script = conversation()
    bench = FakeWorkbench()

    def hint(place: str) -> None:
        if place.startswith("before tool 4 "):
            bench.queue_hint("mind the edges")

    bench.on_boundary = hint
    async with Server(list(script)) as server:
        # The hint skips tool 4; the agent repeats it.
        server.script.insert(3, Answer([{**script[2].content[0], "id": "again"}]))
        outcome = await step(bench, server)
    assert outcome.outcome == "committed"
    script.insert(3, Answer([{**script[2].content[0], "id": "again"}]))
    return bench, script


@pytest.mark.slow
async def test_going_on_from_every_prefix_of_the_events() -> None:
    bench, script = await first_run()
    start = next(i for i, e in enumerate(bench.journal) if e.step == 1) + 1
    for end in range(start, len(bench.journal) + 1):
        await _go_on(bench, script, end)


async def _go_on(bench: FakeWorkbench, script: list[Answer], end: int) -> None:
    cut = FakeWorkbench(journal=bench.journal[:end], objects=bench.objects)
    before_calls = [e.call for e in cut.of(ToolCalled)]
    before_answers = {e.call for e in cut.of(ToolReturned)}
    before_committed = bool([e for e in cut.of(VersionCommitted) if e.version.number])
    spare = [
        Answer([tool("write_file", file="kernel.cpp", text=source(1.4))]),
        Answer([tool("evaluate", title="1.4 again")]),
        Answer([tool("submit", summary="faster by two fifths")]),
    ]

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        well_formed(body)
        done = answers(cut)
        if done < len(script):
            return script[done]
        if spare:
            return spare.pop(0)
        return Answer([tool("end_step", reason="nothing more to say")])

    async with Server(answer) as server:
        outcome = await step(cut, server)
    assert outcome.outcome == "committed", f"after event {end}: {outcome}"
    called = Counter(e.call for e in cut.of(ToolCalled))
    assert max(called.values()) == 1, f"after event {end} a tool ran twice"
    returned = Counter(e.call for e in cut.of(ToolReturned))
    assert max(returned.values()) == 1
    if not before_committed:
        assert set(returned) >= set(called)
    for call in before_calls:
        if call not in before_answers and not before_committed:
            assert "Interrupted: the engine stopped" in whole(cut, call)
    if before_committed:
        assert not server.requests, "a committed step asks nothing more"
    hints = [e.hint for e in cut.of(HintDelivered)]
    if server.requests and hints:
        assert "mind the edges" in str(server.requests[-1]["messages"])
    assert len([v for v in cut.versions() if v.author == "agent"]) == 1


async def test_the_request_after_a_restart_has_the_same_prefix() -> None:
    """Else the cache is lost, and models that sign their thinking over the prefix refuse it."""
    bench, script = await first_run()
    place = next(i for i, e in enumerate(bench.journal) if isinstance(e, AttemptFinished))
    cut = FakeWorkbench(journal=bench.journal[: place + 1], objects=bench.objects)
    async with Server([Answer([tool("end_step", reason="enough for now")])]) as server:
        await step(cut, server)
        again = server.requests[0]
    full = FakeWorkbench()
    async with Server(list(script)) as server:
        await step(full, server)
        earlier = server.requests[0]
    assert again["system"] == earlier["system"] and again["tools"] == earlier["tools"]
    recorded = [m for m in again["messages"] if m["role"] == "assistant"]
    assert recorded[0]["content"][0]["type"] == "thinking"
    assert recorded[0]["content"][0]["signature"] == "c2lnbmVk"


async def test_another_model_does_not_get_the_first_ones_thinking() -> None:
    bench, _ = await first_run()
    place = next(i for i, e in enumerate(bench.journal) if isinstance(e, AttemptFinished))
    cut = FakeWorkbench(journal=bench.journal[:place], objects=bench.objects)
    async with Server([Answer([tool("end_step", reason="enough for now")])]) as server:
        await step(cut, server, model="another-model")
    assert "let us see" not in str(server.requests[0]["messages"])


async def test_a_step_that_had_ended_by_itself_ends_again_without_a_request() -> None:
    bench = FakeWorkbench()
    async with Server([Answer([tool("end_step", reason="the line is exhausted")])]) as server:
        await step(bench, server)
        again = FakeWorkbench(journal=bench.journal, objects=bench.objects)
        outcome = await step(again, server)
    assert (outcome.outcome, outcome.reason) == ("nothing", "the line is exhausted")
    assert len(server.requests) == 1


async def test_context_edits_survive_a_restart() -> None:
    bench = FakeWorkbench()
    reads = [
        Answer(
            [tool("read_knowledge", id="doc#1", limit=14000)],
            usage={"input_tokens": 4_000 * (n + 1)},
        )
        for n in range(6)
    ]
    stop = Answer([tool("end_step", reason="enough of reading")])
    async with Server([*reads, stop]) as server:
        await step(bench, server, clear_at=8_000, compact_at=50_000, keep_results=2)
        last = server.requests[-1]
    assert any(e.summary.startswith("context") for e in bench.of(MessageRecorded))
    ended = [i for i, e in enumerate(bench.journal) if isinstance(e, ToolCalled)][-1]
    cut = FakeWorkbench(journal=bench.journal[: ended - 1], objects=bench.objects)
    async with Server([stop]) as server:
        await step(cut, server, clear_at=8_000, compact_at=50_000, keep_results=2)
        again = server.requests[0]
    assert again["messages"] == last["messages"]
    assert "[cleared to save context" in str(last["messages"])


async def test_the_local_summary_is_asked_for_and_replaces_the_conversation() -> None:
    bench = FakeWorkbench()

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        well_formed(body)
        last = body["messages"][-1]["content"][-1].get("text", "")
        if "about to be replaced by a summary" in last:
            return Answer([text("I was reading the document; tile 32 looked best.")])
        if "tile 32 looked best" in str(body["messages"]):
            return Answer([tool("end_step", reason="the summary was there")])
        usage = {"input_tokens": 5_000 * (n + 1)}
        words = {"query": "long " * 90}
        return Answer([tool("search_knowledge", **words), tool("list_versions")], usage=usage)

    bench.queue_hint("keep me", scope="step")
    async with Server(answer) as server:
        outcome = await step(bench, server, clear_at=8_000, compact_at=20_000)
    assert outcome.reason == "the summary was there"
    final = server.requests[-1]["messages"]
    assert len(final) == 1 and "keep me" in final[0]["content"][1]["text"]
    assert "<summary>" in final[0]["content"][1]["text"]


@pytest.mark.parametrize("cap", [90_000, None], ids=["cap", "no cap"])
async def test_a_long_summary_is_asked_for_once_and_within_the_cap(cap: int | None) -> None:
    bench = FakeWorkbench(RunSettings(budget=Budget(run=Caps(tokens=cap))))
    asked: list[bool] = []

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        last = str(body["messages"][-1]["content"][-1])
        asked.append("about to be replaced by a summary" in last)
        if asked[-1]:
            return Answer([text("long " * 5_000)], usage={"input_tokens": 100_000})
        if any(asked):
            return Answer([tool("end_step", reason="the summary was there")])
        words = {"query": "long " * 3_000}
        return Answer(
            [tool("search_knowledge", **words)], usage={"input_tokens": 4_000 + 2_000 * n}
        )

    async with Server(answer) as server:
        outcome = await step(bench, server, clear_at=7_000, compact_at=8_000)
    assert asked.count(True) == 1
    assert asked[-1] == (cap is not None), "nothing is asked for when the cap is reached"
    assert outcome.outcome == ("stopped" if cap else "nothing")


async def test_a_failed_edit_leaves_the_candidate_as_it_was(tmp_path: object) -> None:
    bench = FakeWorkbench()
    bad = tool("replace_text", file="kernel.cpp", old="no such text", new="x")
    async with Server(
        [Answer([bad]), Answer([tool("end_step", reason="that was all of it")])]
    ) as s:
        await step(bench, s)
    assert not results(bench)[bad["id"]].ok
    assert "Read the file again" in whole(bench, bad["id"])


@pytest.mark.parametrize("limit", [500, 2000])
async def test_long_results_are_cut_and_can_be_read_on(limit: int) -> None:
    bench = FakeWorkbench()
    long = tool("read_knowledge", id="doc#1", limit=14000)
    more = tool("read_result", call=long["id"], offset=3000, limit=200)
    script = [Answer([long]), Answer([more]), Answer([tool("end_step", reason="read it all now")])]
    async with Server(script) as server:
        await step(bench, server, result_limit=limit)
    shown = server.requests[1]["messages"][-1]["content"][0]["content"]
    assert len(shown) < limit + 200 and "characters left out" in shown
    assert f'read_result(call="{long["id"]}"' in shown
    assert len(whole(bench, long["id"])) >= 14000
    assert "go on with offset 3200" in whole(bench, more["id"])
