"""The open session: a thread reads it, and commands are sent to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from textual.app import App

from avo_tui.domain.commands import Command
from avo_tui.domain.records import LIVE_STATES
from avo_tui.store import SeenMarks, StoreError
from avo_tui.ui.session.feed import BATCH, Feed, Snapshot, Source
from avo_tui.ui.session.replay import ReplaySource


class SessionFollower:
    """At most one session, read by a thread."""

    def __init__(
        self,
        app: App[Any],
        marks: SeenMarks | None,
        take_inbox: Callable[[Path], object] | None,
        is_own: Callable[[Path], bool] | None,
    ) -> None:
        self._app, self._is_own = app, is_own
        self._take_inbox = take_inbox
        self.marks = marks
        """Store of the last event that the person has seen per session; None to not keep any."""
        self.feed: Feed | None = None

    @property
    def latest(self) -> Snapshot | None:
        """What is known now; None without a session."""
        return None if self.feed is None else self.feed.latest

    @property
    def source(self) -> Source | None:
        """Where the session is read from; None without a session."""
        return None if self.feed is None else self.feed.source

    def follow(self, source: Source) -> None:
        """Close the open session and follow `source`; returns when its first snapshot is
        available."""
        self.close()
        replay = source if isinstance(source, ReplaySource) else None
        self.feed = Feed(source, replay, is_own=self._is_own)
        self.feed.prime(BATCH)
        Thread(target=self.feed.run, name="feed", daemon=True).start()

    def close(self) -> None:
        """Stop following, and remember which events were seen."""
        if self.feed is not None:
            self._mark_seen()
            self.feed.stop()
            self.feed = None

    def _mark_seen(self) -> None:
        latest, source = self.latest, self.source
        if self.marks is None or latest is None or latest.replay is not None or source is None:
            return
        try:
            self.marks.set(source.folder, latest.session.applied)
        except (OSError, StoreError) as error:
            self._app.log(f"the mark of what was seen could not be kept: {error}")

    def send(self, command: Command, notice: str) -> bool:
        """Put a command into the inbox and show `notice`; or show why it cannot be sent."""
        if self.feed is None:
            return False
        try:
            self.feed.source.send(command)
        except (OSError, StoreError, ValueError) as error:
            self._app.notify(str(error), severity="error", timeout=8, markup=False)
            return False
        self.feed.wake()
        if notice:
            self._app.notify(notice, timeout=3, markup=False)
        self._have_inbox_taken()
        return True

    def _have_inbox_taken(self) -> None:
        """If no engine is running, start a short-lived one that carries out the command."""
        take, latest, source = self._take_inbox, self.latest, self.source
        if take is None or latest is None or source is None or latest.run_state in LIVE_STATES:
            return
        app, folder = self._app, source.folder

        def work() -> None:
            try:
                take(folder)
            except Exception as error:  # the message is meant for the person
                text = f"the command is in the inbox, but {error}"
                app.call_from_thread(app.notify, text, severity="error", timeout=8, markup=False)

        app.run_worker(work, thread=True, group="inbox", exit_on_error=False)
