"""Reads one streamed answer, with a deadline on progress."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import anthropic
import httpx2

from avo_tui.operators.agent.model.assembly import Assembly
from avo_tui.operators.agent.model.clients import Client
from avo_tui.operators.agent.model.faults import Fault
from avo_tui.operators.agent.model.port import Reply, Request, Sink
from avo_tui.operators.agent.settings import AgentSettings

CHARACTERS_PER_TOKEN = 40
"""An answer with more characters than this per allowed token is taken to be endless."""

DRAIN = 1.0
"""Seconds that a complete answer waits for the end of its stream, so that the connection is kept
for the next request."""
LAST_EVENT = 3.0
"""Seconds that an answer with its stop reason waits for the event that ends it."""

_FOREIGN = (
    "of the Messages API: a server that speaks another one, such as chat completions, needs a proxy"
    " that translates"
)


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
        self.end(self._seconds)

    def end(self, seconds: float) -> None:
        self._clock.reschedule(asyncio.get_running_loop().time() + seconds)


async def read_answer(
    client: Client,
    arguments: dict[str, Any],
    settings: AgentSettings,
    request: Request,
    sink: Sink,
) -> Reply:
    """Read one answer completely. Raises Fault, and whatever the SDK raises.

    Nothing that happens after the answer is complete can take it away: it has been paid for.
    """
    most = request.max_tokens * CHARACTERS_PER_TOKEN + 100_000
    answer = Assembly(sink)
    try:
        async with (
            asyncio.timeout(settings.answer_timeout) as whole,
            asyncio.timeout(settings.progress_timeout) as clock,
        ):
            watch = _Watch(clock, settings.progress_timeout, most)
            await _read(client, arguments, watch, answer)
    except (Exception, asyncio.CancelledError) as error:  # cancelled: the person paused the run
        if not answer.complete:
            if isinstance(error, TimeoutError):
                raise _too_slow(settings, whole.expired()) from error
            raise
    return answer.reply()


def _too_slow(settings: AgentSettings, whole: bool) -> Fault:
    """The fault of an answer that took too long: as a `whole`, or for its next piece."""
    if whole:
        return Fault(
            "timeout",
            f"the answer was not complete after {settings.answer_timeout:g} s (answer_timeout),"
            " although pieces of it still came",
        )
    return Fault(
        "timeout",
        f"the model's server sent no new piece of its answer for {settings.progress_timeout:g} s"
        " (progress_timeout)",
    )


async def _read(client: Client, arguments: dict[str, Any], watch: _Watch, answer: Assembly) -> None:
    # The clouds' clients have this method as well, although their type annotations lack it.
    messages = cast("anthropic.AsyncAnthropic", client).beta.messages
    async with await messages.create(**arguments, stream=True) as stream:
        response = stream.response
        kind = response.headers.get("content-type", "")
        if "application/json" in kind:
            body = (await response.aread()).lstrip()
            if body.startswith((b"{", b"[")):  # else it is a stream under a wrong name
                _take_whole(json.loads(body), response, answer)
                return
        async for event in stream:
            if not isinstance(event, anthropic.BaseModel):
                continue  # its data is no object, so it belongs to no answer
            watch.progress(answer.take(event.to_dict(mode="json", warnings=False)))
            if answer.complete:
                watch.end(DRAIN if answer.stopped else LAST_EVENT)
        if not answer.begun and "event-stream" not in kind:
            raise Fault(
                "malformed",
                f"the server answered {response.status_code} with {kind[:80] or 'no type'}"
                " where a stream of events was asked for: is this the model's server, and not a"
                " proxy or a login page?",
            )
        if not answer.begun and response.num_bytes_downloaded > 0:
            raise Fault("malformed", f"the server's stream held no event {_FOREIGN}")


def _take_whole(body: Any, response: httpx2.Response, answer: Assembly) -> None:
    """Take an answer that a server sent in one piece, as gateways do that do not stream."""
    if isinstance(body, dict) and "content" not in body and body.keys() & {"error", "detail"}:
        raise anthropic.APIStatusError(str(body)[:500], response=response, body=body)
    if not isinstance(body, dict) or not isinstance(body.get("content"), list):
        raise Fault("malformed", f"the server's answer is no message {_FOREIGN}")
    answer.take_whole(body)
