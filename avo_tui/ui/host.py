"""The app as its screens see it: its parts, and the navigation between screens.

Screens import this module and not `app`, which imports all screens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from textual.screen import Screen

from avo_tui.domain.base import now as utc_now
from avo_tui.domain.commands import Command
from avo_tui.domain.records import LIVE_STATES
from avo_tui.store import Drafts, SeenMarks, SessionReader, StoreError
from avo_tui.ui import places
from avo_tui.ui.actions import key_name
from avo_tui.ui.parts.connection import Connection
from avo_tui.ui.parts.departure import Departure
from avo_tui.ui.parts.session import SessionFollower
from avo_tui.ui.parts.window import WindowTitle
from avo_tui.ui.places import Place
from avo_tui.ui.services import Services
from avo_tui.ui.session.feed import Snapshot, Source
from avo_tui.ui.session.replay import ReplaySource
from avo_tui.ui.status import Keys
from avo_tui.ui.syntax import Highlighter
from avo_tui.ui.textual_internals import driver_class
from avo_tui.ui.theme.cycle import ThemeCycle, with_fallbacks
from avo_tui.ui.widgets.paint import Palette

ONLY_LOOKS = "this view only looks on: nothing can be changed in it"


@dataclass(frozen=True)
class HostOptions:
    """Options for starting an app."""

    services: Services = field(default_factory=Services)
    theme: str = "avo-dark"
    low_bandwidth: bool | None = None
    """Whether to save bandwidth; None selects it automatically for a slow connection."""
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
    """Base class of the app. `screen_for` decides which screen shows a place."""

    def __init__(self, options: HostOptions, tick: Callable[[], None]) -> None:
        super().__init__(driver_class=driver_class())
        self.services, self.clock = options.services, options.clock
        self.roots = None if options.roots is None else list(options.roots)
        self.places_text = options.places_text
        self.keys = dict(options.keys)
        """Reassigned keys: action id → key."""
        self.highlighter = Highlighter()
        self.drafts = options.drafts
        self.read_only = options.read_only
        self.themes = ThemeCycle(self, options.theme)
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
        self.go(places.Agreement(folder.name, tuple(services.starts(settings))), answered)

    def status_keys(self) -> Keys:
        """The keys mentioned in the status line, as currently bound."""

        def bound(action: str, default: str) -> str:
            return key_name(self.keys.get(action, default))

        own = self.latest is None or self.latest.own
        return Keys(
            resume=bound("pause", "p"),
            start=bound("start", "R") if own else "",
            leave_replay=bound("leave", "q"),
            play=bound("play", "space"),
            live=bound("live", "l"),
            slow_link=bound("slow_link", "ctrl+b"),
            approve=bound("approve", "A"),
        )

    def from_thread(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call, from a worker's thread, something that mounts widgets or opens screens.

        `call_from_thread` alone would run it outside a message of the app, in which case a new
        screen is not composed in time.
        """
        self.call_from_thread(self.call_later, callback, *arguments)

    # -- navigation

    def screen_for(self, place: Place) -> Screen[Any]:
        """The screen or dialog that shows a place."""
        raise NotImplementedError

    def go(self, place: Place, then: Callable[[Any], None] | None = None) -> None:
        """Open a place on top of the current screen; `then` receives its result when it closes."""
        self.push_screen(self.screen_for(place), then)

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
        self.open_source(source)

    def open_replay(self, folder: Path, speed: float = 1.0) -> None:
        """Play a session from its start."""
        try:
            source = ReplaySource(SessionReader.open(folder), speed=speed)
        except (StoreError, OSError, ValueError) as error:
            self.notify(str(error), severity="error", timeout=8, markup=False)
            return
        self.open_source(source)

    def open_source(self, source: Source) -> None:
        """Follow a source on the run screen."""
        self.session.follow(source)
        self.go(places.Run())

    # -- required by the app itself

    def crashed(self) -> None:
        """Stop reading the session."""
        if self.session.feed is not None:
            self.session.feed.stop()

    def get_css_variables(self) -> dict[str, str]:
        """Textual's variables and ours, whatever the theme."""
        return with_fallbacks(super().get_css_variables(), self.current_theme.ansi)

    def watch_theme(self, name: str) -> None:
        """Style sheets tell the terminal's own colours apart by a class."""
        self.set_class(self.current_theme.ansi, "-ansi")
