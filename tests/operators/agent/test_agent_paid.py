"""An answer that was paid is used, and nothing that cannot pass by itself is asked without end."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import pytest

from avo_tui.operators.agent.model.classify import classify
from avo_tui.operators.agent.model.faults import Backoff, Fault
from avo_tui.operators.ports import StepEnded
from tests.loopback.server import Answer, Behaviour, Body, Broken, Server, Status, events_of
from tests.operators.agent.helpers import bills, step, work
from tests.operators.agent.helpers import well_formed as valid
from tests.operators.agent.test_agent_odd_servers import Raw, RawServer, response
from tests.operators.fake_workbench import FakeWorkbench


@dataclass
class Ended:
    """A whole answer, up to the last event but `without`, then what no answer should end with."""

    answer: Answer
    how: str
    without: int = 0
    chunked: bool = False


class EndingServer(Server):
    """A loopback server that sends whole answers and then misbehaves."""

    async def _behave(self, what: Any, writer: asyncio.StreamWriter) -> None:
        if not isinstance(what, Ended):
            await super()._behave(what, writer)
            return
        coding = "transfer-encoding: chunked\r\n" if what.chunked else ""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{coding}\r\n"
        writer.write(head.encode())
        events = events_of(what.answer)
        for name, event in events[: len(events) - what.without]:
            data = f"event: {name}\ndata: {json.dumps({'type': name, **event})}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(data), data) if what.chunked else data)
        await writer.drain()
        await self._break(Broken(what.how), writer)


@pytest.mark.parametrize("without", [0, 1], ids=["whole", "no message_stop"])
@pytest.mark.parametrize("how", ["eof", "reset", "hang", "pings", "error", "garbage"])
async def test_a_complete_answer_is_used_whatever_its_stream_does_next(
    how: str, without: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.operators.agent.model.stream.DRAIN", 0.05)
    monkeypatch.setattr("avo_tui.operators.agent.model.stream.LAST_EVENT", 0.1)
    bench = FakeWorkbench()
    script: list[Any] = [Ended(a, how, without, chunked=how != "reset") for a in work()]
    async with EndingServer(script) as server:
        outcome = await asyncio.wait_for(step(bench, server), 60)
    assert outcome.outcome == "committed"
    assert len(server.requests) == len(bills(bench.reading.step_events())) == 4, (
        "none was asked for twice"
    )
    assert not bench.parked and not bench.troubles()


async def test_an_answer_without_its_reason_is_used() -> None:
    def without_reason(answer: Answer) -> Raw:
        events = [e for e in events_of(answer) if e[0] != "message_delta"]
        lines = (f"event: {n}\ndata: {json.dumps({'type': n, **e})}\n\n" for n, e in events)
        return response("".join(lines).encode(), "text/event-stream")

    bench = FakeWorkbench()
    async with RawServer([without_reason(a) for a in work()]) as server:  # type: ignore[misc]
        outcome = await step(bench, server)
    assert outcome.outcome == "committed" and len(server.requests) == 4


async def test_an_answer_in_one_piece_is_used() -> None:
    def whole(answer: Answer) -> Raw:
        message: Body = {"type": "message", "role": "assistant", "model": "m", "id": "x"}
        message |= {"content": answer.content, "stop_reason": answer.stop_reason}
        message["usage"] = {"input_tokens": 100, "output_tokens": 20}
        return response(json.dumps(message).encode(), "application/json")

    bench = FakeWorkbench()
    async with RawServer([whole(a) for a in work()]) as server:  # type: ignore[misc]
        outcome = await step(bench, server)
    assert outcome.outcome == "committed" and len(server.requests) == 4
    assert [b.output_tokens for b in bills(bench.reading.step_events())] == [20] * 4
    for body in server.requests:
        valid(body)


async def test_a_stream_under_a_wrong_name_is_used() -> None:
    def misnamed(answer: Answer) -> Raw:
        lines = (
            f"event: {n}\ndata: {json.dumps({'type': n, **e})}\n\n" for n, e in events_of(answer)
        )
        return response("".join(lines).encode(), "application/json")

    async with RawServer([misnamed(a) for a in work()]) as server:  # type: ignore[misc]
        assert (await step(FakeWorkbench(), server)).outcome == "committed"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"choices": []}, "chat completions"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "overloaded"),
        ([1], "no message"),
        ({"content": [{"type": "text", "text": 3}, 4]}, ""),
    ],
)
async def test_json_that_is_no_answer_is_said_to_be_none(body: Any, words: str) -> None:
    bench = FakeWorkbench()
    async with RawServer([response(json.dumps(body).encode(), "application/json"), *work()]) as s:  # type: ignore[list-item]
        assert (await step(bench, s)).outcome == "committed"
    assert any(words in t for t in bench.troubles())


def stop_at_pause(bench: FakeWorkbench) -> None:
    bench.on_pause = lambda reason: bench.end("stopped", reason)


@pytest.mark.parametrize(
    ("fault", "most", "words"),
    [
        (Status(500, "api_error", "boom"), 24, "failed (500): boom"),
        (Broken("reset", events=3), 12, "each of them paid"),
        (Broken("eof", events=3), 12, "each of them paid"),
        (Broken("eof", events=0), 12, "ended before"),
        (Broken("hang", events=0), 12, "read_timeout"),
        (Broken("garbage", events=3), 6, "not valid"),
    ],
    ids=["500", "reset", "eof", "nothing", "hang", "garbage"],
)
async def test_what_never_passes_is_not_asked_for_without_end(
    fault: Behaviour, most: int, words: str
) -> None:
    bench = FakeWorkbench()
    stop_at_pause(bench)
    async with Server(lambda n, body: fault) as server:
        with pytest.raises(StepEnded):
            await asyncio.wait_for(step(bench, server, read_timeout=0.1), 60)
    assert len(server.requests) == most
    assert words in bench.paused[0] and f"{most} faults in a row" in bench.paused[0]


async def test_a_failure_that_is_the_requests_fault_ends_the_step_with_its_reason() -> None:
    error = Status(500, "api_error", "Jinja Exception: roles must alternate")
    bench = FakeWorkbench()
    async with Server(lambda n, body: error) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "nothing" and "roles must alternate" in outcome.reason
    assert len(server.requests) < 12


def test_time_mends_what_is_not_the_servers_own_failure() -> None:
    patience = Backoff(1, 2, breaker=3)
    for kind in ("rate_limit", "overloaded", "unavailable", "connection"):
        assert not any(patience.breaks(Fault(kind, "x"), paid=False) for _ in range(100))


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error as the SDK raises it: what the transport said is its cause."""
    try:
        try:
            raise httpx2.ConnectError(str(error)) from error
        except httpx2.ConnectError as cause:
            request = httpx2.Request("POST", "https://example.test/v1/messages")
            raise anthropic.APIConnectionError(request=request) from cause
    except anthropic.APIConnectionError as raised:
        yield raised


def test_a_certificate_that_is_not_trusted_is_for_the_person() -> None:
    untrusted = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    fault = classify(next(causes(untrusted)))  # type: ignore[arg-type]
    assert fault.kind == "endpoint" and "SSL_CERT_FILE" in fault.sentence
    assert classify(next(causes(ssl.SSLError(1, "[SSL: TLSV1_ALERT] later")))).kind == "connection"  # type: ignore[arg-type]


async def test_secure_requests_to_a_plain_server_pause_the_run() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(10)
        writer.close()

    bench = FakeWorkbench()
    stop_at_pause(bench)
    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(StepEnded):
            await asyncio.wait_for(step(bench, None, base_url=address), 60)
    assert "no secure connection" in bench.paused[0] and not bench.parked


def test_a_misspelt_name_pauses_unless_it_has_answered_before() -> None:
    patience = Backoff(1, 2, breaker=3)
    fault = Fault("host", "no machine has this name")
    assert [patience.breaks(fault, paid=False) for _ in range(3)] == [False, False, True]
    patience.succeeded()
    assert not any(patience.breaks(fault, paid=False) for _ in range(50)), "a line that is down"
