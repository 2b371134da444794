"""Servers that mean harm or are badly broken: bodies without end, redirects, odd limits."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from avo_tui.operators.agent.model import bounds
from tests.loopback.server import Answer, Behaviour, Body, Broken, Server, Status, text, tool
from tests.operators.agent.helpers import step, work
from tests.operators.agent.test_agent_odd_servers import Raw, RawServer, after, response, stream
from tests.operators.fake_workbench import FakeWorkbench


class Flood:
    """A response whose body never ends."""

    def __init__(self, head: bytes, piece: bytes) -> None:
        self.head, self.piece = head, piece
        self.sent = 0


class FloodServer(RawServer):
    """Can also send a body without end."""

    async def _behave(self, what: Any, writer: asyncio.StreamWriter) -> None:
        if not isinstance(what, Flood):
            await super()._behave(what, writer)
            return
        writer.write(what.head + b"connection: close\r\n\r\n")
        while what.sent < 2_000_000_000:  # ends: by its size
            writer.write(what.piece)
            what.sent += len(what.piece)
            await writer.drain()


async def flooded(flood: Flood) -> FakeWorkbench:
    bench = FakeWorkbench()
    script: list[Any] = [flood, *work()]
    async with FloodServer(script) as server:
        outcome = await step(bench, server, wait_first=0.0)
    assert outcome.outcome == "committed", outcome
    return bench


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n", b"x" * 65536),
        (b"HTTP/1.1 500 X\r\ncontent-type: application/json\r\n", b"[" * 65536),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n", b"<p>\n" * 16384),
    ],
    ids=["a line without end", "an error without end", "a page without end"],
)
async def test_a_body_without_end_is_cut_off(
    head: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_OF_AN_EVENT", 1_000_000)
    monkeypatch.setattr(bounds, "MOST_OF_A_BODY", 1_000_000)
    flood = Flood(head, piece)
    bench = await flooded(flood)
    assert flood.sent < 50_000_000, "the connection was closed"
    assert bench.troubles()


async def test_a_stream_of_comments_without_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "MOST_OF_A_STREAM", 3_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    flood = Flood(head, b": nothing\n\n" * 5000)
    bench = await flooded(flood)
    assert flood.sent < 60_000_000 and "longer" in bench.troubles()[0]


@pytest.mark.parametrize("status", [200, 400, 529])
async def test_a_compressed_bomb_is_not_unpacked(status: int) -> None:
    bomb = gzip.compress(b"\n" * 5_000_000)
    head = (
        f"HTTP/1.1 {status} X\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
        f"content-length: {len(bomb)}\r\nconnection: close\r\n\r\n"
    )
    bench = await after(Raw(head.encode() + bomb))
    assert "compressed" in bench.troubles()[0]


async def test_no_compression_is_asked_for() -> None:
    bench = FakeWorkbench()
    async with Server(work()) as server:
        await step(bench, server)
    assert {h["accept-encoding"] for h in server.headers} == {"identity"}


@pytest.mark.parametrize("code", [302, 303, 307, 308])
@pytest.mark.parametrize("same", [True, False], ids=["same host", "another host"])
async def test_no_redirect_is_followed(code: int, same: bool) -> None:
    bench = FakeWorkbench()
    async with Server(work()) as other, Server() as server:
        target = "/v1/elsewhere" if same else f"{other.url}/v1/messages"
        server.script += [Status(code, "", headers={"location": target}), *work()]
        outcome = await step(bench, server)
    assert outcome.outcome == "committed"
    assert not other.requests, "neither key nor request went there"
    assert set(server.paths) == {server.paths[0]}
    assert len(bench.paused) == 1 and "redirects" in bench.paused[0]


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens", 8192),
        ("'max_tokens' is too large: 32000. This model's maximum context length is 16384", 8000),
        ("max_tokens=32000 cannot be greater than max_model_len=9000", 8000),
        ("`max_completion_tokens` must be at most 9000", 8000),
    ],
)
async def test_an_endpoint_with_shorter_answers_is_asked_for_shorter_ones(
    message: str, limit: int
) -> None:
    rest = work()

    def choose(number: int, body: Body) -> Behaviour:
        if body["max_tokens"] > 9000:
            named = message.replace("32000", str(body["max_tokens"]))
            return Status(400, "invalid_request_error", named)
        return rest.pop(0)

    bench = FakeWorkbench()
    async with Server(choose) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed", outcome
    assert server.requests[-1]["max_tokens"] == limit
    last = server.requests[-1]
    assert "thinking" in last and "output_config" in last, "no feature was lost for it"
    assert len(server.requests) <= 4 + 3


async def test_a_server_that_allows_no_length_ends_the_step() -> None:
    always = Status(400, "invalid_request_error", "max_tokens: too many")
    bench = FakeWorkbench()
    async with Server(lambda n, body: always) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "nothing" and "max_tokens" in outcome.reason
    assert len(server.requests) < 20


@pytest.mark.parametrize("kind", ["strange_new_error", "", "throttlingException", "null"])
async def test_an_odd_error_event_is_the_servers_fault(kind: str) -> None:
    bench = FakeWorkbench()
    odd = Broken("error", Answer([text("I look")]), events=3, kind=kind)
    async with Server([odd, *work()]) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed"
    assert len(bench.parked) == 1, "waited out like any other"
    assert {json.dumps(r.get("output_config")) for r in server.requests} == {
        json.dumps(server.requests[0]["output_config"])
    }


@pytest.mark.parametrize("value", [None, [], "many", {"input_tokens": None}])
async def test_a_usage_that_is_nothing(value: object) -> None:
    def change(events: list[Any]) -> None:
        events[0][1]["message"]["usage"] = value
        events[-2][1]["usage"] = value

    bench = await after(stream(change), price_input=1.0, price_output=1.0)
    assert bench.state.session.spend.input_tokens > 1000


async def test_a_storm_of_overload_is_waited_out() -> None:
    bench = FakeWorkbench()
    storm: list[Behaviour] = [Status(529, "overloaded_error") for _ in range(30)]
    async with Server([*storm, *work()]) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed" and not bench.paused
    waits = [seconds for seconds, _ in bench.parked]
    assert len(waits) == 30 and max(waits) <= 300 * 1.25 and waits[-1] > 200


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "text/event-stream"], ids=["json", "text", "stream"]
)
async def test_an_empty_body(kind: str) -> None:
    await after(response(b"", kind))


@pytest.mark.parametrize(
    "first",
    [
        Answer([text("<tool_call>{" * 60_000)], piece=10**6),
        Status(400, "invalid_request_error", "a" * 3_000_000),
    ],
    ids=["calls that never end", "one word of digits"],
)
async def test_a_text_that_repeats_itself_keeps_nothing_busy(first: Behaviour) -> None:
    """A pattern that begins anew at each repetition would take hours."""
    async with Server([first, *work()]) as server:
        assert (await step(FakeWorkbench(), server)).outcome == "committed"


async def test_a_tool_call_of_a_megabyte_is_no_flood() -> None:
    big = "// a long line of a kernel\n" * 40_000
    call = Answer([tool("write_file", file="kernel.cpp", text=big)], piece=60_000)
    bench = FakeWorkbench()
    async with Server([call, *work()]) as server:
        outcome = await step(bench, server, max_tokens=500_000, clear_at=900_000,
                             compact_at=1_000_000)  # fmt: skip
    assert outcome.outcome == "committed"
