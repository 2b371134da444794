"""Ends the app in an orderly way: by a key, a signal or a crash. The run goes on without it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from avo_tui.ui.parts.session import SessionFollower
from avo_tui.ui.parts.window import WindowTitle
from avo_tui.ui.textual_internals import OpenedApp


class Departure:
    """Ends the app so that the terminal returns to its previous state."""

    def __init__(self, app: OpenedApp, session: SessionFollower, window: WindowTitle) -> None:
        self._app, self._session, self._window = app, session, window
        self.farewell = ""
        """A sentence printed on the terminal after the app has ended."""
        self._stdin = _terminal()

    def heed_signals(self) -> None:
        """Handle signals: end when the terminal is closed or when asked to from outside."""
        if not self._app.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGHUP, signal.SIGTERM):
                loop.add_signal_handler(number, self.leave, 128 + number)

    def heed_terminal(self) -> None:
        """End when the terminal was closed without a signal to the app.

        The kernel signals only the first program of a terminal's session. If that is `make` or
        another program that does not pass the signal on, the app would otherwise read an ended
        input for ever.
        """
        if self._stdin is not None and not os.isatty(self._stdin):
            self._stdin = None
            self.leave(128 + signal.SIGHUP)

    def leave(self, code: int = 0) -> None:
        """End the app with an exit code; if the run continues, the farewell says so."""
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
        """End the app because there is nothing to show; `why` is printed as the farewell."""
        self.farewell = why
        self._app.exit(return_code=1)


def _terminal() -> int | None:
    """The descriptor of the terminal that keys come from; None where they come from elsewhere."""
    stream = sys.__stdin__
    try:
        return stream.fileno() if stream is not None and stream.isatty() else None
    except (OSError, ValueError):  # standard input is closed or is not a file
        return None
