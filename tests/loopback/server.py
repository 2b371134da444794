"""A small server on loopback that speaks the Messages API: scripted answers, and every fault.

Raw sockets, so that it can do what no well-behaved server does: stop in mid-stream, reset the
connection, send an error after a 200, or say nothing.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

Body = dict[str, Any]


def text(words: str) -> Body:
    return {"type": "text", "text": words}


def thinking(words: str) -> Body:
    return {"type": "thinking", "thinking": words, "signature": "c2lnbmVk"}


_ids = 0


def tool(name: str, /, **arguments: Any) -> Body:
    global _ids
    _ids += 1
    return {"type": "tool_use", "id": f"toolu_{_ids:04d}", "name": name, "input": arguments}


@dataclass
class Answer:
    """A complete streamed answer."""

    content: list[Body]
    stop: str = ""
    usage: Body = field(default_factory=dict)
    pause: float = 0.0
    """Seconds before each piece of text."""
    broken_json: str | None = None
    """Sent in the place of the last tool call's arguments."""
    details: Body | None = None
    piece: int = 40
    """Characters of one delta."""

    @property
    def stop_reason(self) -> str:
        calls = any(b["type"] == "tool_use" for b in self.content)
        return self.stop or ("tool_use" if calls else "end_turn")


@dataclass
class Status:
    """An HTTP error."""

    code: int
    kind: str
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Broken:
    """A stream that goes wrong after `events` server-sent events of `answer`.

    how: eof (clean end), reset (RST), error (an error event), garbage (no JSON), hang (silence),
    pings (signs of life and nothing else).
    """

    how: str
    answer: Answer = field(default_factory=lambda: Answer([text("half a sentence")]))
    events: int = 3
    kind: str = "overloaded_error"


Behaviour = Answer | Status | Broken


def events_of(answer: Answer, model: str = "test-model") -> list[tuple[str, Body]]:
    """The server-sent events of an answer."""
    usage = {"input_tokens": 100, "output_tokens": 1, **answer.usage}
    start: Body = {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events: list[tuple[str, Body]] = [("message_start", {"message": start})]
    for index, block in enumerate(answer.content):
        last = index == len(answer.content) - 1
        events.extend(
            _block_events(index, block, answer.broken_json if last else None, answer.piece)
        )
    delta = {"stop_reason": answer.stop_reason, "stop_sequence": None}
    if answer.details is not None:
        delta["stop_details"] = answer.details  # type: ignore[assignment]
    final = {"output_tokens": answer.usage.get("output_tokens", 20)}
    if "iterations" in answer.usage:
        final["iterations"] = answer.usage["iterations"]
    events.append(("message_delta", {"delta": delta, "usage": final}))
    events.append(("message_stop", {}))
    return events


def _block_events(
    index: int, block: Body, broken: str | None, size: int
) -> Iterable[tuple[str, Body]]:
    kind = block["type"]
    if kind == "text":
        empty, deltas = (
            {**block, "text": ""},
            [("text_delta", "text", p) for p in _cut(block["text"], size)],
        )
    elif kind == "thinking":
        empty = {**block, "thinking": "", "signature": ""}
        deltas = [("thinking_delta", "thinking", p) for p in _cut(block["thinking"], size)]
        deltas.append(("signature_delta", "signature", block["signature"]))
    elif kind == "tool_use":
        sent = json.dumps(block["input"]) if broken is None else broken
        empty, deltas = (
            {**block, "input": {}},
            [("input_json_delta", "partial_json", p) for p in _cut(sent, size)],
        )
    else:
        empty, deltas = block, []
    yield "content_block_start", {"index": index, "content_block": empty}
    for name, key, piece in deltas:
        yield "content_block_delta", {"index": index, "delta": {"type": name, key: piece}}
    yield "content_block_stop", {"index": index}


def _cut(words: str, size: int) -> list[str]:
    return [words[i : i + size] for i in range(0, len(words), size)]


class Server:
    """Answers each request with the next behaviour; records what it was sent."""

    def __init__(self, script: Iterable[Behaviour] | Callable[[int, Body], Behaviour] = ()) -> None:
        self._choose = script if callable(script) else None
        self.script = [] if callable(script) else list(script)
        self.requests: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.model: Body = {}
        """What it says of its model, where it is asked for it."""
        self.port = 0
        self.started = asyncio.Event()
        """Set when an answer's stream has begun; tests clear it."""
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            headers = {k.lower(): v for k, v in headers.items()}
            if head.startswith("GET /v1/models/"):
                data = json.dumps(self.model).encode()
                lines = ["HTTP/1.1 200 OK", "content-type: application/json"]
                lines += [f"content-length: {len(data)}", "connection: close", "", ""]
                writer.write("\r\n".join(lines).encode() + data)
                await writer.drain()
                return
            body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
            self.requests.append(body)
            self.headers.append(headers)
            self.paths.append(head.split(" ", 2)[1])
            await self._behave(self._next(body), writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over, which is what some tests are about
        finally:
            writer.close()

    def _next(self, body: Body) -> Behaviour:
        if self._choose is not None:
            return self._choose(len(self.requests) - 1, body)
        if not self.script:
            return Status(500, "api_error", "the script is over")
        return self.script.pop(0)

    async def _behave(self, what: Behaviour, writer: asyncio.StreamWriter) -> None:
        if isinstance(what, Status):
            error = {"type": "error", "error": {"type": what.kind, "message": what.message}}
            data = json.dumps(error).encode()
            lines = [f"HTTP/1.1 {what.code} X", "content-type: application/json"]
            lines += [f"{k}: {v}" for k, v in what.headers.items()]
            lines += [f"content-length: {len(data)}", "connection: close", "", ""]
            writer.write("\r\n".join(lines).encode() + data)
            await writer.drain()
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        )
        answer = what.answer if isinstance(what, Broken) else what
        for number, (name, event) in enumerate(events_of(answer)):
            if isinstance(what, Broken) and number >= what.events:
                await self._break(what, writer)
                return
            if answer.pause and name == "content_block_delta":
                await asyncio.sleep(answer.pause)
            line = json.dumps({"type": name, **event})
            writer.write(f"event: {name}\ndata: {line}\n\n".encode())
            await writer.drain()
            self.started.set()

    async def _break(self, what: Broken, writer: asyncio.StreamWriter) -> None:
        if what.how == "error":
            error = {"type": "error", "error": {"type": what.kind, "message": "later"}}
            writer.write(f"event: error\ndata: {json.dumps(error)}\n\n".encode())
        elif what.how == "garbage":
            writer.write(b"event: content_block_delta\ndata: {this is no json\n\n")
        elif what.how == "hang":
            await asyncio.sleep(3600)
        elif what.how == "pings":
            while True:  # ends: with the connection
                writer.write(b'event: ping\ndata: {"type": "ping"}\n\n')
                await writer.drain()
                await asyncio.sleep(0.05)
        elif what.how == "reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        await writer.drain()
