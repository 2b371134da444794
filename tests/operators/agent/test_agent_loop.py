import json

from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.events import AgentText, MessageRecorded, PlanSet, ToolCalled, ToolReturned
from avo_tui.domain.run_settings import RunSettings
from tests.loopback.server import Answer, Server, text, thinking, tool
from tests.operators.agent.helpers import last_user, results, step, well_formed, whole, work
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source


async def test_a_step_from_opening_to_commit() -> None:
    bench = FakeWorkbench()
    async with Server(work()) as server:
        outcome = await step(bench, server, price_input=4.0, price_output=20.0)
    assert outcome.outcome == "committed"
    assert [v.number for v in bench.reading.versions()] == [0, 1]
    assert bench.reading.versions()[1].plan.startswith("Faster\n- [ ] edit")
    assert [e.tool for e in bench.of(ToolCalled)] == [
        "set_plan",
        "write_file",
        "evaluate",
        "submit",
    ]
    assert all(e.ok for e in bench.of(ToolReturned))
    for body in server.requests:
        well_formed(body)
    assert bench.of(PlanSet)[0].title == "Faster"
    spend = bench.state.session.spend
    assert (spend.requests, spend.input_tokens, spend.output_tokens) == (4, 400, 80)
    assert spend.usd > 0


async def test_every_message_is_recorded_before_its_tools_run() -> None:
    bench = FakeWorkbench()
    async with Server(work()) as server:
        await step(bench, server)
    order = [
        e.role if isinstance(e, MessageRecorded) else type(e).__name__
        for e in bench.journal
        if isinstance(e, MessageRecorded | ToolCalled | ToolReturned)
    ]
    assert order[:3] == ["system", "user", "request"]
    for place, name in enumerate(order):
        if name == "ToolCalled":
            assert order[place - 1] == "assistant"
            assert order[place + 1] == "ToolReturned"


async def test_the_stable_part_comes_first_and_is_marked_for_the_cache() -> None:
    bench = FakeWorkbench()
    async with Server(work()) as server:
        await step(bench, server)
    first, last = server.requests[0], server.requests[-1]
    assert first["system"] == last["system"] and first["tools"] == last["tools"]
    assert first["system"][-1]["cache_control"] == {"type": "ephemeral"}, "5 minutes elsewhere"
    assert "Do something quickly." in first["system"][-1]["text"]
    assert first["messages"][0]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    marks = json.dumps(last).count('"cache_control"')
    assert 2 <= marks <= 4, "the API takes four marks at most"
    plain = [
        {k: v for k, v in b.items() if k != "cache_control"} for b in last["messages"][0]["content"]
    ]
    assert plain[0]["text"] == first["messages"][0]["content"][0]["text"]


async def test_thinking_and_effort_are_sent_as_set() -> None:
    async with Server(work()) as server:
        await step(FakeWorkbench(), server, effort="xhigh")
    assert server.requests[0]["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert server.requests[0]["output_config"] == {"effort": "xhigh"}
    async with Server(work()) as server:
        await step(FakeWorkbench(), server, effort="default", thinking="off", cache=False)
    assert "thinking" not in server.requests[0] and "output_config" not in server.requests[0]
    assert "cache_control" not in json.dumps(server.requests[0])


async def test_prose_is_recorded_in_chunks_of_time_not_of_tokens() -> None:
    bench = FakeWorkbench()
    prose = "word " * 400
    script = [
        Answer([thinking("hm " * 100), text(prose), tool("end_step", reason="nothing to do")])
    ]
    async with Server(script) as server:
        await step(bench, server)
    spoken = [e for e in bench.of(AgentText) if not e.thinking]
    assert "".join(e.text for e in spoken) == prose
    assert len({e.block for e in spoken}) == 1
    assert len(spoken) < 10, "50 deltas must not be 50 events"
    assert "".join(e.text for e in bench.of(AgentText) if e.thinking) == "hm " * 100


async def test_a_long_text_shows_before_it_is_complete() -> None:
    bench = FakeWorkbench()
    slow = Answer([text("abc efg " * 40), tool("end_step", reason="nothing to do")], pause=0.15)
    async with Server([slow]) as server:
        await step(bench, server)
    assert len(bench.of(AgentText)) >= 2


async def test_parallel_calls_run_in_order_and_are_answered_in_order() -> None:
    bench = FakeWorkbench()
    calls = [tool("list_versions"), tool("read_candidate"), tool("list_knowledge")]
    async with Server([Answer(calls), *work()]) as server:
        await step(bench, server)
    for body in server.requests:
        well_formed(body)
    given = [b["tool_use_id"] for b in last_user(server.requests[1]) if b["type"] == "tool_result"]
    assert given == [c["id"] for c in calls]


async def test_the_opening_tells_lineage_memory_and_failures() -> None:
    bench = FakeWorkbench()
    bench.recording.write_note("failed", "tile 7 spills registers")
    bench.queue_hint("look at the loads")
    async with Server(work()) as server:
        await step(bench, server)
        again = FakeWorkbench(journal=bench.journal, objects=bench.objects, step=2)
        assert again.head.number == 1
        server.script = [
            Answer([tool("write_file", file="kernel.cpp", text=source(0.5))]),
            Answer([tool("evaluate", title="a slow idea")]),
            Answer([tool("end_step", reason="slower as feared")]),
            Answer([tool("end_step", reason="nothing left to do")]),
        ]
        outcome = await step(again, server)
        assert (outcome.outcome, outcome.reason) == ("nothing", "slower as feared")
        third = FakeWorkbench(journal=again.journal, objects=again.objects, step=3)
        await step(third, server)
    first = server.requests[0]["messages"][0]["content"][0]["text"]
    assert "tile 7 spills registers" in first and "look at the loads" in first
    assert bench.state.hints["hint1"].where == "step 1, opening"
    opening = server.requests[-1]["messages"][0]["content"][0]["text"]
    assert "It is faster because the number is larger." in opening
    assert "a slow idea" in opening and "v1 ← v0" in opening
    assert "const float speed = 1.25;" in opening


async def test_a_rewind_is_told_with_its_reason() -> None:
    from avo_tui.domain.events import Rewound

    bench = FakeWorkbench()
    async with Server(work()) as server:
        await step(bench, server)
        bench.recording.record(Rewound(origin=1, target=0, reason="v1 cheats on the mask"))
        again = FakeWorkbench(journal=bench.journal, objects=bench.objects, step=2)
        server.script = [Answer([tool("end_step", reason="understood the reason")])]
        await step(again, server)
    opening = server.requests[-1]["messages"][0]["content"][0]["text"]
    assert "rewound the run to v0: v1 cheats on the mask" in opening and "v1" in opening


async def test_caps_are_checked_before_each_request() -> None:
    run = RunSettings(operator="agent", budget=Budget(run=Caps(tokens=240)))
    bench = FakeWorkbench(run)
    async with Server(work()) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "stopped" and "tokens" in outcome.reason
    assert len(server.requests) == 2, "120 tokens each: the third would exceed 240"
    bench = FakeWorkbench(RunSettings(operator="agent", budget=Budget(step=Caps(tokens=100))))
    async with Server(work()) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "nothing" and len(server.requests) == 1


async def test_a_step_has_a_longest_length() -> None:
    def chatter(n: int, body: object) -> Answer:
        return Answer([tool("list_versions")])

    async with Server(chatter) as server:
        outcome = await step(FakeWorkbench(), server, max_requests=7)
    assert outcome.outcome == "nothing" and len(server.requests) == 7


async def test_equal_call_ids_are_made_different() -> None:
    bench = FakeWorkbench()
    same = [{**tool("list_versions"), "id": "call_0"} for _ in range(2)]
    script = [
        Answer([same[0]]),
        Answer([same[1]]),
        Answer([{**tool("end_step", reason="enough of it"), "id": "call_0"}]),
    ]
    async with Server(script) as server:
        await step(bench, server)
    assert list(results(bench)) == ["call_0", "call_0-2", "call_0-3"]
    for body in server.requests:
        well_formed(body)
    assert "v0" in whole(bench, "call_0-2")
