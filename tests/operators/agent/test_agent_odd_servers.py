"""Servers that say odd things: nothing unwritable is recorded, no key leaves, all is counted."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain.events import AgentText, EventBase
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent.model.prices import UNKNOWN, Pricing
from avo_tui.operators.agent.operator import make
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.ports import StepEnded
from tests.loopback.server import Answer, Body, Broken, Server, Status, events_of, text, tool
from tests.operators.agent.conftest import KEY
from tests.operators.agent.helpers import bills, step, work
from tests.operators.fake_workbench import FakeWorkbench

HALF = "\ud800"
MILLION = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}


@dataclass
class Raw:
    """Bytes in the place of an answer."""

    data: bytes


class RawServer(Server):
    """A loopback server that can also send bytes as they are."""

    async def _behave(self, what: Any, writer: asyncio.StreamWriter) -> None:
        if not isinstance(what, Raw):
            await super()._behave(what, writer)
            return
        writer.write(what.data)
        await writer.drain()


def response(body: bytes, kind: str, status: int = 200) -> Raw:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n"
    return Raw(head.encode() + body)


def stream(change: Callable[[list[Any]], None], answer: Answer | None = None) -> Raw:
    """A streamed answer with its events changed."""
    events = json.loads(json.dumps(events_of(answer or Answer([text("hello")]))))
    change(events)
    lines = [f"event: {n}\ndata: {json.dumps({'type': n, **d})}\n\n" for n, d in events]
    return response("".join(lines).encode(), "text/event-stream")


async def after(first: Raw | Broken, **settings: Any) -> FakeWorkbench:
    """A step in which `first` precedes the ordinary work; it must end in a commit."""
    bench = FakeWorkbench()
    script: list[Any] = [first, *work()]
    async with RawServer(script) as server:
        outcome = await step(bench, server, **settings)
    assert outcome.outcome == "committed", outcome
    for event in bench.of(EventBase):
        event.model_dump_json().encode()
    return bench


def _put(*path: Any, value: Any = HALF) -> Callable[[list[Any]], None]:
    def change(events: list[Any]) -> None:
        target: Any = events
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _put(0, 1, "message", "model"),
        _put(0, 1, "message", "id"),
        _put(0, 1, "message", "usage", "service_tier"),
        _put(-2, 1, "delta", "stop_reason"),
        _put(1, value=["error", {"error": {"type": "api_error", "message": HALF}}]),
    ],
    ids=["model", "id", "usage", "stop reason", "error event"],
)
async def test_half_a_surrogate_pair_anywhere_in_a_stream(
    change: Callable[[list[Any]], None],
) -> None:
    await after(stream(change))


async def test_half_a_surrogate_pair_in_a_signature() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": HALF}
    await after(stream(lambda events: None, Answer([thinking, tool("compile")])))


@pytest.mark.parametrize("status", [409, 418, 503])
async def test_half_a_surrogate_pair_in_the_body_of_an_error(status: int) -> None:
    body = json.dumps({"error": {"type": "x", "message": HALF}}).encode()
    await after(response(body, "application/json", status))


async def test_a_page_in_the_place_of_a_stream_is_named() -> None:
    bench = await after(response(b"<html>log in</html>", "text/html"))
    assert "text/html" in bench.troubles()[0]


async def test_chunks_of_another_api_are_named_and_end_in_a_pause() -> None:
    chunk = {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "hi"}}]}
    body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    bench = FakeWorkbench()
    bench.on_pause = lambda reason: bench.end("stopped", "seen")
    script: list[Any] = [response(body, "text/event-stream")] * 8
    async with RawServer(script) as server:
        with pytest.raises(StepEnded):
            await step(bench, server, breaker=3)
    assert len(bench.paused) == 1 and "speaks another one, such as chat comp" in bench.paused[0]
    assert "3 faults in a row" in bench.paused[0]


async def test_a_stream_without_a_byte_is_waited_out() -> None:
    bench = await after(response(b"", "text/event-stream"))
    assert "ended before the answer was complete" in bench.troubles()[0] and not bench.paused


async def test_a_usage_without_tokens_is_counted_from_the_length() -> None:
    def nothing(events: list[Any]) -> None:
        events[0][1]["message"]["usage"] = {}
        events[-2][1]["usage"] = {}

    bench = await after(stream(nothing), price_input=10.0, price_output=100.0)
    first = bills(bench.journal)[0]
    assert first.input_tokens > 1000 and first.usd > 0


async def test_the_arguments_of_a_call_that_was_cut_off_are_paid_for() -> None:
    call = Answer([tool("write_file", file="kernel.cpp", text="x" * 40_000)])
    bench = await after(Broken("eof", call, events=900), price_input=10.0, price_output=100.0)
    assert bills(bench.journal)[0].output_tokens > 8_000


def test_a_price_that_is_left_out_does_not_make_tokens_free() -> None:
    def usd(**options: Any) -> float:
        return Pricing(AgentSettings.model_validate(options)).spend(MILLION).usd

    listed = usd()
    assert usd(price_input=3.0) == pytest.approx(3 + usd(price_input=0.0))
    assert usd(price_input=0.0) > 0 and usd(price_output=0.0) > 0
    assert usd(price_cache_read=0.0) == pytest.approx(listed)
    assert usd(model="nobody-knows", price_input=1.0) == pytest.approx(1 + UNKNOWN.output)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("price_input", float("inf"), "finite"),
        ("wait_longest", float("inf"), "finite"),
        ("model", "", "option agent.model"),
        ("base_url", "localhost:8080", "http://"),
        ("base_url", "", "http://"),
        ("base_url", "https://", "http://"),
    ],
)
def test_an_option_that_cannot_work_is_refused_before_the_run(
    option: str, value: object, words: str
) -> None:
    run = RunSettings.model_validate({"options": {f"agent.{option}": value}})
    with pytest.raises(ValueError, match=words):
        make(run)


def test_an_address_in_the_environment_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "user:hidden@gateway")
    with pytest.raises(ValueError, match="ANTHROPIC_BASE_URL") as caught:
        make(RunSettings())
    assert "hidden" not in str(caught.value)


async def test_a_key_that_was_read_again_is_as_secret_as_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    file = tmp_path / "key"
    old, new = "oldkey-0123456789", "newkey-9876543210"
    file.write_text(old)

    def choose(number: int, body: Body) -> Any:
        if number == 0:
            file.write_text(new)
            return Status(401, "authentication_error", f"not {old}")
        if number == 1:
            return Status(500, "api_error", f"upstream: {new} instead of {old}")
        if number == 2:
            return Answer([text(f"It is {new}."), tool("set_plan", title=new, items=[])])
        return work()[min(number - 3, 3)]

    bench = FakeWorkbench()
    async with Server(choose) as server:
        options = {"base_url": server.url, "api_key_file": str(file), "model": "test-model"}
        run = RunSettings.model_validate({"options": {f"agent.{k}": v for k, v in options.items()}})
        bench.state.session = bench.state.session.replaced(settings=run)
        outcome = await make(run).vary(bench)
    assert outcome.outcome == "committed", outcome
    assert server.headers[0]["x-api-key"] == old and server.headers[1]["x-api-key"] == new
    for event in bench.of(EventBase):
        written = event.model_dump_json()
        assert old not in written and new not in written, event


async def test_a_key_that_streams_in_slow_pieces_is_redacted_as_a_whole() -> None:
    """A piece each 0.3 s and an event each 0.5 s: without care each event has a part of the key."""
    bench = FakeWorkbench()
    slow = Answer([text(f"Look: {KEY} there"), tool("compile")], pause=0.3, piece=8)
    async with Server([slow, *work()]) as server:
        await step(bench, server)
    words = "".join(e.text for e in bench.of(AgentText))
    assert words.startswith("Look: [redacted] there"), words
