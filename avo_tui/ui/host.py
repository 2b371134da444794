"""The app as its screens see it: its parts, and the navigation between screens."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from textual.app import App
from textual.screen import Screen

from avo_tui.domain.base import now as utc_now
from avo_tui.domain.commands import Command
from avo_tui.domain.records import LIVE_STATES
from avo_tui.store import Drafts, SeenMarks, SessionReader, StoreError
from avo_tui.ui.actions import key_name
from avo_tui.ui.connection import Connection
from avo_tui.ui.loader import in_thread
from avo_tui.ui.services import Services
from avo_tui.ui.session.feed import BATCH, Feed, Snapshot, Source
from avo_tui.ui.session.replay import ReplaySource
from avo_tui.ui.status import Keys
from avo_tui.ui.syntax import Highlighter
from avo_tui.ui.terminal.images import Images, Wanted
from avo_tui.ui.textual_internals import OpenedApp, driver_class
from avo_tui.ui.theme import ThemeCycle, with_fallbacks
from avo_tui.ui.widgets.paint import Palette

T = TypeVar("T")


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
        folder, app = source.folder, self._app

        def failed(why: str) -> None:
            text = f"the command is in the inbox, but {why}"
            app.notify(text, severity="error", timeout=8, markup=False)

        in_thread(app, lambda: take(folder), failed=failed, group="inbox")


class WindowTitle:
    """Sets the window's title while the app runs, and restores it afterwards."""

    def __init__(self, app: OpenedApp) -> None:
        self._app = app
        self._title = ""

    def show(self, title: str) -> None:
        """Set the title; an empty one restores what stood there before the app set any."""
        if title == self._title:
            return
        if title:
            # "22;2t" has the terminal remember its title, "23;2t" has it take that one back.
            remember = "" if self._title else "\x1b[22;2t"
            self._app.to_terminal(f"{remember}\x1b]2;{title}\x07")
        else:
            self._app.to_terminal("\x1b[23;2t")
        self._title = title


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
            # as it was called where the shell would not find it by name, such as .venv/bin/avo
            called = Path(sys.argv[0])
            avo = called if called.name == "avo" and not shutil.which("avo") else "avo"
            self.farewell = (
                f"The run {state}. Look again: {avo} attach {name}   Stop it: {avo} stop {name}"
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


ONLY_LOOKS = "this view only looks on: nothing can be changed in it"


@dataclass(frozen=True)
class HostOptions:
    services: Services = field(default_factory=Services)
    theme: str = "avo-dark"
    low_bandwidth: bool | None = None
    """Whether to save bandwidth; None selects it automatically for a slow connection."""
    pictures: Wanted = "cells"
    """How the charts are drawn."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Reassigned keys: action id → key."""
    clock: Callable[[], datetime] = utc_now
    roots: Iterable[Path] | None = None
    """Folders that contain sessions; None for the default ones."""
    places_text: str = ""
    """Where sessions and tasks come from, for the status line of the list of sessions."""
    marks: SeenMarks | None = None
    drafts: Drafts = field(default_factory=Drafts)
    """Store of kernels that were edited but not yet submitted."""
    read_only: bool = False
    """True if the viewer may change nothing: no command is sent."""


class Host(Palette):
    def __init__(self, options: HostOptions, tick: Callable[[], None]) -> None:
        self.images = Images(options.pictures, os.environ)
        super().__init__(driver_class=driver_class())
        self.services, self.clock = options.services, options.clock
        self.roots = None if options.roots is None else list(options.roots)
        self.places_text = options.places_text
        self.keys = dict(options.keys)
        """Reassigned keys: action id → key."""
        self.highlighter = Highlighter()
        self.drafts = options.drafts
        self.read_only = options.read_only
        self.themes = ThemeCycle(self, options.theme, few=bool(options.low_bandwidth))
        services = options.services
        self.session = SessionFollower(self, options.marks, services.take_inbox, services.is_own)
        self.window = WindowTitle(self)
        self.departure = Departure(self, self.session, self.window)
        self.pictures = self.connection = Connection(
            self, options.low_bandwidth, self.themes, tick, lambda: self.status_keys().slow_link
        )

    # -- services for screens

    @property
    def latest(self) -> Snapshot | None:
        """The latest snapshot of the open session; None without a session."""
        return self.session.latest

    def send(
        self, command: Command, notice: str, sent: Callable[[], object] = lambda: None
    ) -> None:
        """Send a command to the open session and show `notice`, or show why it cannot be sent.

        Where it starts an engine on a session that was made elsewhere, the person is asked first.
        `sent` is called once it is in the inbox.
        """
        latest, source = self.latest, self.session.source
        if self.read_only or latest is None or source is None:
            self.notify(ONLY_LOOKS, severity="warning", timeout=4)
            return

        def send() -> None:
            if self.session.send(command, notice):
                sent()

        if latest.run_state in LIVE_STATES:
            send()
        else:
            self.agreed(source.folder, send)

    def ask(self, dialog: Screen[T | None], then: Callable[[T], object]) -> None:
        """Open a dialog; `then` gets its answer, unless it is left without one."""

        def answered(answer: T | None) -> None:
            if answer is not None:
                then(answer)

        self.push_screen(dialog, answered)

    def start_engine(
        self, folder: Path, notice: str, then: Callable[[], object] = lambda: None
    ) -> None:
        """Start the engine of a session, if the person agrees; `then` is called once it runs."""
        start = self.services.start_engine
        if start is None:
            return

        def go_on() -> None:
            self.notify(notice, timeout=3, markup=False)
            in_thread(self, lambda: start(folder), lambda _: then(), group="start")

        self.agreed(folder, go_on)

    def agreed(self, folder: Path, go_on: Callable[[], object]) -> None:
        """Call `go_on` if the person made the session in `folder`, or agrees to go on with it."""
        services, feed = self.services, self.session.feed
        if services.is_own is None or services.is_own(folder):
            go_on()
            return

        def answered(yes: bool | None) -> None:
            if not yes:
                return
            try:
                services.agree(folder)
            except (StoreError, OSError) as error:  # this process knows it all the same
                self.notify(str(error), severity="warning", timeout=8, markup=False)
            if feed is not None:
                feed.own = True
                feed.wake()
            go_on()

        try:
            settings = SessionReader.open(folder).state.session.settings
        except (StoreError, OSError) as error:
            self.notify(str(error), severity="error", timeout=8, markup=False)
            return
        self.ask_agreement(folder.name, services.starts(settings), answered)

    def status_keys(self) -> Keys:
        """The keys mentioned in the status line, as currently bound."""

        def bound(action: str, default: str) -> str:
            return key_name(self.keys.get(action, default))

        own = self.latest is None or self.latest.own
        return Keys(
            resume=bound("pause", "p"),
            start=bound("start", "R") if own else "",
            play=bound("play", "space"),
            live=bound("live", "l"),
            slow_link=bound("slow_link", "ctrl+b"),
            approve=bound("approve", "A"),
        )

    # -- navigation

    # Screens and dialogs import this module: those that it opens are named by the app.

    def show_run(self) -> None:
        raise NotImplementedError

    def show_help(self) -> None:
        raise NotImplementedError

    def ask_agreement(
        self, name: str, starts: Sequence[str], then: Callable[[bool | None], None]
    ) -> None:
        """Ask whether to go on with a session that was made elsewhere."""
        raise NotImplementedError

    def open_folder(self, folder: Path) -> None:
        """Open a session; if the folder cannot be read, one sentence says why."""
        try:
            source = SessionReader.open(folder)
        except (StoreError, OSError) as error:
            if len(self.screen_stack) > 1:
                self.notify(str(error), severity="error", timeout=8, markup=False)
            else:
                self.departure.leave_unread(str(error))
            return
        if source.damage:
            self.notify(source.damage, severity="warning", timeout=20, markup=False)
        self.open_source(source)

    def open_replay(self, folder: Path, speed: float = 1.0) -> None:
        try:
            source = ReplaySource(SessionReader.open(folder), speed=speed)
        except (StoreError, OSError, ValueError) as error:
            self.notify(str(error), severity="error", timeout=8, markup=False)
            return
        self.open_source(source)

    def open_source(self, source: Source) -> None:
        self.session.follow(source)
        self.show_run()

    # -- required by the app itself

    def crashed(self) -> None:
        if self.session.feed is not None:
            self.session.feed.stop()

    def get_css_variables(self) -> dict[str, str]:
        """Textual's variables and ours, whatever the theme."""
        return with_fallbacks(super().get_css_variables(), self.current_theme.ansi)

    def watch_theme(self, name: str) -> None:
        """Style sheets tell the terminal's own colours apart by a class."""
        self.set_class(self.current_theme.ansi, "-ansi")
