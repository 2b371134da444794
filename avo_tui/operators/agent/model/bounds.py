"""Limits on the size of responses: ours, so that no server can fill the engine's memory, and those
that an endpoint names when it refuses to write as much as it was asked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import cast

import httpx2

from avo_tui.operators.agent.model.faults import Fault

MOST_OF_AN_EVENT = 8_000_000
"""Largest number of bytes without an end of line in an event stream, which the SDK buffers."""
MOST_OF_A_STREAM = 512_000_000
"""Largest size of one streamed answer, in bytes."""
MOST_OF_A_BODY = 4_000_000
"""Largest size of an answer that is not a stream, such as an error, in bytes."""


async def bound(response: httpx2.Response) -> None:
    """HTTP client hook that limits the size of a response's body. Raises Fault.

    A compressed body is refused: none was asked for, and a few kilobytes of it can expand to
    gigabytes.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise Fault("malformed", f"the server sent a compressed answer ({coding[:20]}) unasked")
    kind = response.headers.get("content-type", "")
    streams = response.status_code == 200 and "stream" in kind
    stream = cast("httpx2.AsyncByteStream", response.stream)
    most = MOST_OF_A_STREAM if streams else MOST_OF_A_BODY
    response.stream = _Bounded(stream, most, lines="event-stream" in kind)


class _Bounded(httpx2.AsyncByteStream):
    """A response body that raises a Fault when it becomes too long."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int, *, lines: bool) -> None:
        """`lines`: it is text in lines, none of which may be without end."""
        self._stream = stream
        self._most = most
        self._most_of_a_line = MOST_OF_AN_EVENT if lines else most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        whole = since_end = 0
        async for piece in self._stream:
            whole += len(piece)
            last = piece.rfind(b"\n")
            since_end = since_end + len(piece) if last < 0 else len(piece) - last - 1
            if whole > self._most or since_end > self._most_of_a_line:
                raise Fault("malformed", "the server's answer is far longer than any should be")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


_LENGTH = ("max_tokens", "max_completion_tokens", "max_new_tokens", "max output tokens")
"""Names that endpoints use for the maximum length of an answer when they refuse it."""
_WINDOW = (
    re.compile(
        r"context length is (?P<window>\d+)\D.*?contains at least (?P<input>\d+)", re.DOTALL
    ),
    re.compile(r"context length is (?P<window>\d+)\D.*?(?P<input>\d+) in the (?:messages|prompt)"),
    re.compile(r"(?P<input>\d+) \+ \d+ > (?P<window>\d+)"),
)
"""How vLLM and the API say that input and answer together exceed the context."""
ENOUGH_OUTPUT = 8_192
"""As long as this many output tokens fit beside the input, the answer is shortened, not the
input."""


def shorter(message: str, now: int, can_clear: bool) -> int | None:
    """Output tokens to ask for instead of `now`, by an endpoint's error message; None to leave it.

    `can_clear`: the conversation could be made shorter instead, which is preferred where only a
    short answer would fit beside it. Half of what fits is left for the conversation to grow.
    """
    words = message.lower()
    if "budget_tokens" in words:
        return None
    for pattern in _WINDOW:
        if (sizes := pattern.search(words)) is not None:
            room = int(sizes["window"]) - int(sizes["input"])
            if room < ENOUGH_OUTPUT and can_clear:
                return None
            lower = max(room // 2, min(room, ENOUGH_OUTPUT))
            return lower if 0 < lower < now else None
    if "input length" in words or not any(name in words for name in _LENGTH):
        return None
    named = re.search(rf"\b{now}\s*>\s*(\d+)", words)
    lower = int(named[1]) if named else now // 2
    return lower if lower < now else None
