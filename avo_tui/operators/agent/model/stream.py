"""Reads one streamed answer, with a deadline on progress."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import anthropic

from avo_tui.operators.agent.model.assembly import Assembly
from avo_tui.operators.agent.model.clients import Client
from avo_tui.operators.agent.model.faults import Fault
from avo_tui.operators.agent.model.port import Reply, Request, Sink
from avo_tui.operators.agent.settings import AgentSettings

CHARACTERS_PER_TOKEN = 24
"""An answer with more characters than this per allowed token is taken to be endless."""


class _Watch:
    """A deadline that each new piece of the answer extends; keep-alive pings do not."""

    def __init__(self, clock: asyncio.Timeout, seconds: float, most_characters: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._left = most_characters

    def progress(self, characters: int) -> None:
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
    answer = Assembly(sink)
    # The clouds' clients have this method as well, although their type annotations lack it.
    messages = cast("anthropic.AsyncAnthropic", client).beta.messages
    async with await messages.create(**arguments, stream=True) as stream:
        async for event in stream:
            watch.progress(answer.take(event.to_dict(mode="json", warnings=False)))
        kind = stream.response.headers.get("content-type", "")
        if not answer.begun and "event-stream" not in kind:
            raise Fault(
                "malformed",
                f"the server answered {stream.response.status_code} with {kind[:80] or 'no type'}"
                " where a stream of events was asked for: is this the model's server, and not a"
                " proxy or a login page?",
            )
        if not answer.begun and stream.response.num_bytes_downloaded > 0:
            raise Fault(
                "malformed",
                "the server's stream held no event of the Messages API: a server that speaks"
                " another one, such as chat completions, needs a proxy that translates",
            )
    return answer.reply()
