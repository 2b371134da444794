"""Leaving in good order: by a key, by a signal, by a crash; and the window's title given back."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, ClassVar

from rich.segment import Segments
from rich.traceback import Traceback
from textual.binding import Binding
from textual.css.query import NoMatches

from avo_tui.ui.feed import Snapshot
from avo_tui.ui.following import Following


class Leaving(Following):
    """An app that leaves the terminal as it was, and a run that goes on without it."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+c", "copy_or_hint", show=False, system=True),
        Binding("ctrl+q", "leave", show=False, system=True, priority=True),
    ]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._needs_person = ""
        self._title = ""
        """The title that the terminal's window was given."""
        self._stopped_by: int | None = None

    # -- signals

    def _heed_signals(self) -> None:
        """Leave where the terminal goes away, or where asked to from outside."""
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for name in (signal.SIGHUP, signal.SIGTERM):
                loop.add_signal_handler(name, self._signalled, name)

    def _signalled(self, number: int) -> None:
        self._stopped_by = number
        self.leave(128 + number)

    # -- the window's title

    def _call_person(self, latest: Snapshot) -> None:
        """Title and bell, only when a person is needed, once for each need."""
        need = ""
        if latest.replay is None:
            if latest.pending_approval is not None:
                need = "approval"
            elif latest.run_state == "lost":
                need = "engine lost"
        if need == self._needs_person:
            return
        self._needs_person = need
        self._entitle(f"avo {latest.session.name}: {need}" if need else "")
        if need:
            self.bell()

    def _entitle(self, title: str) -> None:
        """Give the terminal's window a title; empty gives it the one back that it had before."""
        if self._driver is None or self.is_headless or title == self._title:
            return
        if title:
            keep = "" if self._title else "\x1b[22;2t"
            self._driver.write(f"{keep}\x1b]2;{title}\x07")
        else:
            self._driver.write("\x1b[23;2t")
        self._title = title

    # -- leaving

    def action_leave(self) -> None:
        """ctrl+q leaves from anywhere."""
        self.leave()

    def action_copy_or_hint(self) -> None:
        """ctrl+c copies what is selected; with nothing selected it says how to leave."""
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.notify(f"copied {len(selected)} characters", timeout=2)
        else:
            self.notify("q leaves, the run goes on; S stops the run", timeout=4)

    def leave(self, code: int = 0) -> None:
        """Leave the terminal as it was; the run goes on."""
        latest = self.latest
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
        self.close_session()
        self._entitle("")
        self.exit(return_code=code)

    def on_unmount(self) -> None:
        """Whatever ends the app, the thread ends with it."""
        self.close_session()

    # -- failing

    def _handle_exception(self, error: Exception) -> None:
        """A screen that is opened while the app leaves finds its widgets gone; that is no crash."""
        if self._exit and isinstance(error, NoMatches):
            self.log(f"a screen was still opening: {error}")
            return
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """A crash prints its traceback without local variables: they may hold a secret."""
        if self.feed is not None:
            self.feed.stop()
        self.bell()
        traceback = Traceback(show_locals=False, width=100, max_frames=12)
        self._exit_renderables.append(
            Segments(self.console.render(traceback, self.console.options))
        )
        self._close_messages_no_wait()
