"""Waiting for what another task, thread or process does; each wait ends at its limit."""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 240.0
"""Seconds; far beyond what any machine needs."""


def wait_for(
    condition: Callable[[], object],
    what: str | Callable[[], str] = "it did not come",
    seconds: float = PATIENCE,
    pause: float = 0.01,
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(pause)


async def until(
    condition: Callable[[], object],
    what: str | Callable[[], str] = "it did not come",
    seconds: float = PATIENCE,
    pause: float = 0.01,
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        await asyncio.sleep(pause)
