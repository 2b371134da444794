"""An answer that was paid is used, and nothing that cannot pass by itself is asked without end."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import pytest

from avo_tui.domain.events import AgentText
from avo_tui.operators.agent.model.classify import classify
from avo_tui.operators.agent.model.faults import Backoff, Fault
from avo_tui.operators.ports import StepEnded
from tests.loopback.server import Answer, Body, Broken, Server, Status, events_of, text
from tests.operators.agent.helpers import answers, bills, step, work
from tests.operators.agent.helpers import well_formed as valid
from tests.operators.agent.test_agent_odd_servers import Raw, RawServer, response, stream
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


Events = list[Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.insert(1, e.pop()),
        lambda e: e.insert(1, e.pop(-2)),
        lambda e: e.extend(e[-2:]),
        lambda e: e.__setitem__(slice(None), e[: len(e) // 2] + e),
        lambda e: e.__setitem__(slice(None), [x for x in e if x[0] != "content_block_stop"]),
        lambda e: e.pop(0),
    ],
    ids=["stop first", "reason first", "end twice", "begun anew", "blocks stay open", "no start"],
)
async def test_events_in_an_odd_order_are_an_answer(change: Callable[[Events], None]) -> None:
    bench = FakeWorkbench()
    async with RawServer([stream(change, a) for a in work()]) as server:  # type: ignore[misc]
        outcome = await step(bench, server)
    assert outcome.outcome == "committed" and len(server.requests) == 4
    assert not bench.parked


async def test_events_that_are_no_objects_are_passed_over() -> None:
    def among(answer: Answer) -> Raw:
        odd = b"event: odd\ndata: null\n\n: comment\n\nevent: odd\ndata: [1]\n\n"
        whole = stream(lambda events: None, answer)
        return Raw(
            whole.data.replace(b"event: content_block_stop", odd + b"event: content_block_stop")
        )

    async with RawServer([among(a) for a in work()]) as server:  # type: ignore[misc]
        assert (await step(FakeWorkbench(), server)).outcome == "committed"
    assert len(server.requests) == 4


async def test_a_complete_answer_outlasts_a_pause() -> None:
    """The person interrupts while the server keeps the stream of a whole answer open."""
    bench = FakeWorkbench()

    class Interrupting(EndingServer):
        async def _break(self, what: Broken, writer: asyncio.StreamWriter) -> None:
            await writer.drain()
            async with asyncio.timeout(60):
                while not any("thinks" in e.text for e in bench.of(AgentText)):
                    await asyncio.sleep(0.01)
            bench.cut("pause now")
            await super()._break(what, writer)

    plan, *rest = work()
    plan.content = [text("It thinks."), *plan.content]
    async with Interrupting([Ended(plan, "hang"), *rest]) as server:  # type: ignore[list-item]
        outcome = await step(bench, server)
    assert outcome.outcome == "committed" and len(server.requests) == answers(bench) == 4


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
        ({"error": {"message": "no worker is free", "code": 503}}, "failed: no worker is free"),
        ({"detail": "the model is loading"}, "the model is loading"),
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
        (Broken("error", events=3), 24, "each of them paid"),
        (Broken("reset", events=0), 12, "lost in mid-stream"),
        (Raw(b""), 24, "no answer over HTTP"),
        (Raw(b"SSH-2.0-OpenSSH_9.6\r\n"), 24, "no answer over HTTP"),
        (Raw(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000), 24, "no answer over HTTP"),
        (response(b"event: message_start\ndata: [1]\n\n", "text/event-stream"), 6, "no event"),
        (Broken("hang", events=0), 12, "read_timeout"),
        (Broken("garbage", events=3), 6, "not valid"),
    ],
    ids=str,
)
async def test_what_never_passes_is_not_asked_for_without_end(
    fault: Any, most: int, words: str
) -> None:
    bench = FakeWorkbench()
    stop_at_pause(bench)
    async with RawServer(lambda n, body: fault) as server:
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
    assert any(patience.breaks(Fault("overloaded", "x"), paid=True) for _ in range(12))


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"),
    [
        (502, "unavailable", "<html><title>502 Bad Gateway</title><h1>No</h1></html>", "502 Bad"),
        (429, "billing", '{"error": {"type": "insufficient_quota", "message": "pay"}}', "pay"),
        (500, "server", '{"error": {"message": "%s"}}' % ("line\\n" * 500_000), "line line"),
    ],
    ids=["page", "quota", "megabytes"],
)
async def test_an_error_is_one_clear_sentence(
    status: int, kind: str, body: str, words: str
) -> None:
    bench = FakeWorkbench()
    stop_at_pause(bench)
    bench.on_boundary = lambda place: bench.end("stopped", "seen") if bench.parked else None
    async with RawServer(lambda n, b: response(body.encode(), "text/html", status)) as server:  # type: ignore[arg-type,return-value]
        with pytest.raises(StepEnded):
            await step(bench, server)
    (said,) = bench.troubles()
    assert words in said and len(said) <= 600 and "<" not in said and "\n" not in said
    assert bool(bench.paused) == (kind == "billing")


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
