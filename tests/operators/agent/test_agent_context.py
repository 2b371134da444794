"""Context editing by the server, and what is sent back to it."""

import json

import pytest

from avo_tui.domain.events import MessageRecorded
from tests.loopback.long_step import LongStep
from tests.loopback.server import Answer, Server, text, thinking, tool
from tests.loopback.strict import StrictServer
from tests.operators.agent.helpers import step, well_formed, work
from tests.operators.fake_workbench import FakeWorkbench


@pytest.mark.parametrize("editing", ["server", "local"])
async def test_a_long_step_reads_most_of_its_input_from_the_cache(editing: str) -> None:
    """With a 27 KB kernel that is rewritten every third turn; 300 turns: benchmarks/agent_cache."""
    bench = FakeWorkbench()
    async with StrictServer(LongStep(60), keep=True) as server:
        outcome = await step(
            bench, server, context_editing=editing, cache_ttl="1h", max_requests=500
        )
    assert outcome.reason == "The step was long enough." and not server.refusals
    assert server.cache_share > 0.85
    cleared = [e.summary for e in bench.of(MessageRecorded) if "uses cleared" in e.summary]
    assert 1 <= len(cleared) < 8, "in blocks, and not turn by turn"
    first, last = server.requests[2]["messages"], server.requests[-1]["messages"]
    if editing == "local":
        assert "[cleared to save context" in str(last) and "[cleared" not in str(first)
        assert "anthropic-beta" not in server.headers[-1]
    else:
        edits = [
            b["context_management"]["edits"][0]
            for b in server.requests
            if "context_management" in b
        ]
        assert edits[0]["clear_tool_inputs"] is True and "[cleared to save" not in str(last)
        assert server.headers[-1]["anthropic-beta"] == "context-management-2025-06-27"
        assert "context_management" not in server.requests[0]


async def test_unknown_endpoints_are_not_asked() -> None:
    async with Server(work()) as server:
        await step(FakeWorkbench(), server, context_editing="auto")
    assert "context_management" not in server.requests[0]
    assert "anthropic-beta" not in server.headers[0]


async def test_a_compaction_block_goes_back_as_it_came_and_is_paid_for() -> None:
    block = {"type": "compaction", "content": "so far: tile 32", "signature": "c2ln"}
    usage = {
        "input_tokens": 1_000,
        "output_tokens": 50,
        "iterations": [
            {
                "type": "compaction",
                "input_tokens": 160_000,
                "output_tokens": 900,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 0,
            },
            {
                "type": "message",
                "input_tokens": 1_000,
                "output_tokens": 50,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 0,
            },
        ],
    }
    bench = FakeWorkbench()
    first = Answer([block, text("going on"), tool("list_versions")], usage=usage)
    async with Server([first, *work()]) as server:
        outcome = await step(bench, server, context_editing="server")
    assert outcome.outcome == "committed"
    sent_back = server.requests[1]["messages"][1]["content"][0]
    assert sent_back == block
    spend = bench.state.session.spend
    assert spend.input_tokens == 161_000 + 4 * 100 and spend.output_tokens == 950 + 4 * 20


async def test_a_failed_compaction_keeps_its_empty_block() -> None:
    block = {"type": "compaction", "content": None, "encrypted_content": None}
    async with Server([Answer([block, tool("list_versions")]), *work()]) as server:
        await step(FakeWorkbench(), server, context_editing="server")
    assert server.requests[1]["messages"][1]["content"][0]["content"] is None


async def test_thinking_goes_back_with_its_signature_and_goes_when_the_past_changes() -> None:
    def answer(n: int, body: object) -> Answer:
        if n < 6:
            usage = {"input_tokens": 4_000 * (n + 1)}
            call = tool("read_knowledge", id="doc#1", limit=14_000)
            return Answer([thinking(f"thought {n}"), call], usage=usage)
        return Answer([tool("end_step", reason="enough was read")])

    bench = FakeWorkbench()
    async with Server(answer) as server:
        await step(bench, server, clear_at=16_000, compact_at=80_000, keep_results=2)
    for body in server.requests:
        well_formed(body)
    early = server.requests[2]["messages"]
    assert early[1]["content"][0] == {
        "type": "thinking",
        "thinking": "thought 0",
        "signature": "c2lnbmVk",
    }
    cleared = [i for i, b in enumerate(server.requests) if "[cleared to save" in str(b)]
    assert cleared, "the context was never cleared"
    assert "thought 0" not in str(server.requests[cleared[0]]["messages"])


async def test_what_is_recorded_of_a_message_is_enough_to_show_it() -> None:
    bench = FakeWorkbench()
    async with Server(work()) as server:
        await step(bench, server)
    roles: dict[str, dict[str, object]] = {}
    for event in bench.of(MessageRecorded):
        roles.setdefault(event.role, json.loads(bench.reading.fetch(event.ref)))
        assert event.summary
    assert set(roles["system"]) == {"model", "system", "tools"}
    assert set(roles["user"]) == {"text", "purpose", "told"}
    assert {"content", "stop_reason", "usage"} <= set(roles["assistant"])
    assert roles["request"]["kind"] == "request" and roles["request"]["messages"] == 1
