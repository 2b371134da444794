"""Following a session: what is opened, what is known of it now, what is sent to it."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

from avo_tui.domain.commands import Command
from avo_tui.domain.records import LIVE_STATES
from avo_tui.store import SeenMarks, SessionReader, StoreError
from avo_tui.ui.feed import BATCH, Feed, Snapshot, Source
from avo_tui.ui.services import Services
from avo_tui.ui.themed import Themed


class Following(Themed):
    """An app with at most one session in hand, read by a thread."""

    def __init__(self, services: Services, marks: SeenMarks | None, **options: Any) -> None:
        super().__init__(**options)
        self.services = services
        self.marks = marks
        self.feed: Feed | None = None
        self.farewell = ""
        """A sentence for the terminal after the app has left it."""
        self._shown = -1
        """Serial of the snapshot that the screens show."""

    @property
    def latest(self) -> Snapshot | None:
        """What is known now."""
        return None if self.feed is None else self.feed.latest

    def open_folder(self, folder: Path) -> None:
        """Open a session. A folder that cannot be read is said in one sentence."""
        try:
            source = SessionReader.open(folder)
        except (StoreError, OSError) as error:
            if self.screen_stack and len(self.screen_stack) > 1:
                self.notify(str(error), severity="error", timeout=8, markup=False)
            else:
                self.farewell = str(error)
                self.exit(return_code=1)
            return
        self.open_source(source)

    def open_replay(self, folder: Path, speed: float = 1.0) -> None:
        """Play a session from its start."""
        from avo_tui.ui.replay import ReplaySource

        try:
            source = ReplaySource(SessionReader.open(folder), speed=speed)
        except (StoreError, OSError, ValueError) as error:
            self.notify(str(error), severity="error", timeout=8, markup=False)
            return
        self.open_source(source)

    def open_source(self, source: Source) -> None:
        """Follow a source on the run screen."""
        from avo_tui.ui.screens.run import RunScreen

        self.close_session()
        self.feed = Feed(source)
        self.feed.prime(BATCH)
        self._shown = -1
        Thread(target=self.feed.run, name="feed", daemon=True).start()
        self.push_screen(RunScreen())

    def close_session(self) -> None:
        """Stop following."""
        if self.feed is not None:
            self._mark_seen()
            self.feed.stop()
            self.feed = None

    def _mark_seen(self) -> None:
        latest = self.latest
        if self.marks is None or latest is None or latest.replay is not None or self.feed is None:
            return
        try:
            self.marks.set(self.feed.source.folder, latest.session.applied)
        except (OSError, StoreError) as error:
            self.log(f"the mark of what was seen could not be kept: {error}")

    def send(self, command: Command, said: str) -> bool:
        """Put a command into the inbox and say so; or say why it cannot be sent."""
        if self.feed is None:
            return False
        try:
            self.feed.source.send(command)
        except (OSError, StoreError, ValueError) as error:
            self.notify(str(error), severity="error", timeout=8, markup=False)
            return False
        self.feed.wake()
        if said:
            self.notify(said, timeout=3, markup=False)
        self._have_taken()
        return True

    def _have_taken(self) -> None:
        """Where no engine is running, a short one carries the command out."""
        take, latest, feed = self.services.take_inbox, self.latest, self.feed
        if take is None or latest is None or feed is None or latest.run_state in LIVE_STATES:
            return
        folder = feed.source.folder

        def work() -> None:
            try:
                take(folder)
            except Exception as error:  # its sentence is for the person
                said = f"the command is in the inbox, but {error}"
                self.call_from_thread(self.notify, said, severity="error", timeout=8, markup=False)

        self.run_worker(work, thread=True, group="inbox", exit_on_error=False)
