"""Reads one streamed answer, with a deadline on progress; converts every block to plain JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

import anthropic

from avo_tui.operators.agent.model.clients import Client
from avo_tui.operators.agent.model.faults import Fault
from avo_tui.operators.agent.model.port import Block, Reply, Request, Sink
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.agent.words import clean_json, clean_strings, clean_text

MOST_BLOCKS = 1000
CHARACTERS_PER_TOKEN = 24
"""An answer with more characters than this per allowed token is taken to be endless."""


class _Watch:
    """A deadline that each new piece of the answer extends; keep-alive pings do not."""

    def __init__(self, clock: asyncio.Timeout, seconds: float, most_characters: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._left = most_characters

    def progress(self, characters: int = 1) -> None:
        """Extend the deadline. Raises Fault if the answer is longer than it may be."""
        if characters <= 0:
            return
        self._left -= characters
        if self._left < 0:
            raise Fault("malformed", "the answer is far longer than it was allowed to be")
        self._clock.reschedule(asyncio.get_running_loop().time() + self._seconds)


async def read_answer(
    client: Client,
    arguments: dict[str, Any],
    settings: AgentSettings,
    request: Request,
    sink: Sink,
) -> Reply:
    """Read one answer completely. Raises Fault, and whatever the SDK raises."""
    most = request.max_tokens * CHARACTERS_PER_TOKEN + 100_000
    try:
        async with (
            asyncio.timeout(settings.answer_timeout),
            asyncio.timeout(settings.progress_timeout) as clock,
        ):
            watch = _Watch(clock, settings.progress_timeout, most)
            return await _read(client, arguments, watch, sink)
    except TimeoutError as error:
        raise Fault(
            "timeout",
            f"the model's server sent no piece of its answer for {settings.progress_timeout:g} s,"
            f" or none that ended it within {settings.answer_timeout:g} s",
        ) from error


async def _read(client: Client, arguments: dict[str, Any], watch: _Watch, sink: Sink) -> Reply:
    buffers: dict[int, list[str]] = {}
    begun = stopped = False
    # The clouds' clients have this method as well, although their type annotations lack it.
    messages = cast("anthropic.AsyncAnthropic", client).beta.messages
    async with messages.stream(**arguments) as stream:
        async for event in stream:
            begun = True
            match event.type:
                case "message_start":
                    watch.progress()
                    sink.usage(_plain(event.message.usage))
                case "content_block_start":
                    watch.progress()
                    if event.index >= MOST_BLOCKS:
                        raise Fault("malformed", f"the answer has over {MOST_BLOCKS} blocks")
                case "content_block_delta":
                    watch.progress(_delta(event, sink, buffers))
                case "content_block_stop":
                    sink.end(event.index)
                case "message_delta":
                    watch.progress()
                    sink.usage(_plain(stream.current_message_snapshot.usage))
                case "message_stop":
                    stopped = True
                case _:
                    pass
        kind = stream.response.headers.get("content-type", "")
        if not begun and "event-stream" not in kind:
            raise Fault(
                "malformed",
                f"the server answered {stream.response.status_code} with {kind[:80] or 'no type'}"
                " where a stream of events was asked for: is this the model's server, and not a"
                " proxy or a login page?",
            )
        if not stopped:
            raise Fault("cut_off", "the stream ended before the answer was complete")
        message = stream.current_message_snapshot
    if message.stop_reason is None:
        raise Fault("cut_off", "the stream ended without a stop reason")
    content, broken = content_of(message.content, buffers)
    return Reply(
        content=content,
        stop_reason=clean_text(str(message.stop_reason)),
        usage=_plain(message.usage) or {"output_tokens": None},
        model=clean_text(str(message.model or "")),
        id=clean_text(str(message.id or "")),
        stop_detail=_why_refused(message.stop_details),
        broken=broken,
    )


def _why_refused(details: Any) -> str:
    """Category and explanation of a refusal, such as `cyber: it looked like an exploit`."""
    if details is None:
        return ""
    plain = _plain(details)
    parts = [plain.get("category"), plain.get("explanation")]
    text = ": ".join(clean_text(str(p)) for p in parts if p)
    if other := plain.get("recommended_model"):
        text += f" (the server recommends {clean_text(str(other))})"
    return text


def _delta(event: Any, sink: Sink, buffers: dict[int, list[str]]) -> int:
    """Forward a piece to the sink; returns its length in characters."""
    delta = event.delta
    if delta.type == "text_delta":
        sink.text(event.index, clean_text(str(delta.text)), False)
        return len(delta.text)
    if delta.type == "thinking_delta":
        sink.text(event.index, clean_text(str(delta.thinking)), True)
        return len(delta.thinking)
    if delta.type == "input_json_delta":
        buffers.setdefault(event.index, []).append(delta.partial_json)
        sink.arguments(len(delta.partial_json))
        return len(delta.partial_json)
    return 1


def content_of(blocks: Any, buffers: Mapping[int, list[str]]) -> tuple[list[Block], dict[str, str]]:
    """(blocks as JSON, invalid tool calls: id → arguments as sent).

    The SDK parses incomplete JSON leniently, but an incomplete call must not be run.
    """
    content: list[Block] = []
    broken: dict[str, str] = {}
    for index, block in enumerate(blocks):
        plain = _plain(block)
        if plain.get("type") == "tool_use":
            sent = clean_text("".join(buffers.get(index, [])))
            arguments = _arguments(sent, plain.get("input"))
            if arguments is None:
                broken[str(plain.get("id", ""))] = sent or repr(plain.get("input"))[:2000]
            plain["input"] = arguments or {}
        content.append(plain)
    return content, broken


def _arguments(sent: str, parsed: Any) -> dict[str, Any] | None:
    """The arguments of a call; None if what was sent is not a JSON object."""
    try:
        value = clean_json(json.loads(sent) if sent.strip() else parsed)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _plain(value: Any) -> dict[str, Any]:
    """An object of the SDK as JSON; empty for anything else."""
    to_dict = getattr(value, "to_dict", None)
    if to_dict is None:
        plain = dict(value) if isinstance(value, Mapping) else {}
    else:
        plain = to_dict(mode="json", warnings=False)
    clean = clean_strings(plain)
    return clean if isinstance(clean, dict) else {}
