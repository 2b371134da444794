"""Limits on the size of responses, so that no server can fill the engine's memory."""

from __future__ import annotations

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
