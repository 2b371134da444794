"""Leaving in good order: by a key, by a signal, by a crash. The run goes on without the app."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from avo_tui.ui.parts.session import SessionFollower
from avo_tui.ui.parts.window import WindowTitle
from avo_tui.ui.textual_internals import OpenedApp


class Departure:
    """Ends the app so that the terminal is as it was before."""

    def __init__(self, app: OpenedApp, session: SessionFollower, window: WindowTitle) -> None:
        self._app, self._session, self._window = app, session, window
        self.farewell = ""
        """A sentence for the terminal after the app has left it."""
        self._stdin = _terminal()

    def heed_signals(self) -> None:
        """Leave where the terminal goes away, or where asked to from outside."""
        if not self._app.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGHUP, signal.SIGTERM):
                loop.add_signal_handler(number, self.leave, 128 + number)

    def heed_terminal(self) -> None:
        """Leave where the terminal is gone and no signal said so.

        The kernel tells the first program of a terminal's session only. Where that is `make`, or
        another that keeps the signal to itself, the app would read an ended input for ever.
        """
        if self._stdin is not None and not os.isatty(self._stdin):
            self._stdin = None
            self.leave(128 + signal.SIGHUP)

    def leave(self, code: int = 0) -> None:
        """End the app with an exit code; a run that goes on is named in the farewell."""
        latest = self._session.latest
        if (
            latest is not None
            and latest.replay is None
            and latest.run_state in {"starting", "running", "pausing", "paused", "parked"}
        ):
            name = latest.session.name
            state = "is paused" if latest.run_state == "paused" else "goes on"
            self.farewell = (
                f"The run {state}. Look again: avo attach {name}   Stop it: avo stop {name}"
            )
        self._session.close()
        self._window.show("")
        self._app.exit(return_code=code)

    def leave_unread(self, why: str) -> None:
        """End the app because there is nothing to show; `why` is the farewell."""
        self.farewell = why
        self._app.exit(return_code=1)


def _terminal() -> int | None:
    """The descriptor of the terminal that keys come from; None where they come from elsewhere."""
    stream = sys.__stdin__
    try:
        return stream.fileno() if stream is not None and stream.isatty() else None
    except (OSError, ValueError):  # closed, or no file at all
        return None
