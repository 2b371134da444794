"""What the tests of the screens share: an app on an invented session, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from make_session import MemorySource

from avo_tui.ui.app import AvoApp


def make_app(source: MemorySource, **options: Any) -> AvoApp:
    """The app on a source; its clock stands three seconds after the last event."""
    last = source.state.session.last_event_at
    assert last is not None
    moment = last + timedelta(seconds=3)
    return AvoApp(source=source, clock=lambda: moment, **options)


async def until(pilot: Any, condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition; fails with the condition's source line when it does not come."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("the condition did not come true in time")
        await pilot.pause(0.02)


async def quiet(pilot: Any) -> None:
    """Wait until nothing is being loaded and the screen was painted."""
    from avo_tui.ui.loader import Loader
    from avo_tui.ui.screens.run import RunScreen

    def idle() -> bool:
        loaders = [getattr(s, "loader", None) for s in pilot.app.screen_stack]
        resting = all(
            s.settled == s.lineage.cursor
            for s in pilot.app.screen_stack
            if isinstance(s, RunScreen) and s.ready
        )
        return resting and not any(isinstance(x, Loader) and x._pending for x in loaders)

    await pilot.pause(0.05)
    await until(pilot, idle)
    await pilot.pause(0.05)
