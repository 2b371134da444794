"""The app: screens, themes, the feed and its tick, and leaving in good order."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

from rich.segment import Segments
from rich.traceback import Traceback
from textual import constants
from textual.app import SystemCommand
from textual.binding import Binding
from textual.css.query import NoMatches
from textual.driver import Driver
from textual.filter import Monochrome, NoColor
from textual.screen import Screen

from avo_tui.domain.base import now as utc_now
from avo_tui.domain.commands import Command
from avo_tui.domain.records import LIVE_STATES
from avo_tui.store import SeenMarks, SessionReader, StoreError
from avo_tui.ui.feed import BATCH, Feed, Snapshot, Source
from avo_tui.ui.link import Link, is_remote
from avo_tui.ui.screens.base import AvoScreen
from avo_tui.ui.services import Services
from avo_tui.ui.syntax import Highlighter
from avo_tui.ui.terminal import Terminal
from avo_tui.ui.themes import OWN, fallback_variables
from avo_tui.ui.views.status import Keys
from avo_tui.ui.widgets.paint import Palette

TICK_SECONDS = 0.2
SLOW_TICK_SECONDS = 1.0
CYCLE = ("avo-dark", "avo-light", "ansi-dark", "ansi-light")


class AvoApp(Palette):
    """avo-tui's screens on one session, or on the list of them.

    `low_bandwidth` None: chosen by itself where the terminal is at the end of a slow connection.
    `folder` opens a session at once; `source` gives one that is not a folder (a replay). `keys`
    moves actions to other keys, by the action's id.
    """

    TITLE = "avo"
    CSS_PATH = ["styles/paint.tcss", "styles/app.tcss"]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+c", "copy_or_hint", show=False, system=True),
        Binding("ctrl+q", "leave", show=False, system=True, priority=True),
    ]

    def __init__(
        self,
        services: Services | None = None,
        *,
        folder: Path | None = None,
        source: Source | None = None,
        theme: str = "avo-dark",
        low_bandwidth: bool | None = None,
        keys: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] = utc_now,
        roots: Iterable[Path] | None = None,
        marks: SeenMarks | None = None,
    ) -> None:
        super().__init__(driver_class=self._driver_wanted())
        self.services = services or Services()
        self.start_folder, self.start_source = folder, source
        self.low_bandwidth = bool(low_bandwidth)
        self._link = Link() if low_bandwidth is None and is_remote() else None
        """What is known of the connection; None where nobody asks."""
        self.keys: dict[str, str] = dict(keys or {})
        self.clock = clock
        self.roots = None if roots is None else list(roots)
        self.marks = marks
        self.feed: Feed | None = None
        self.highlighter = Highlighter()
        self.farewell = ""
        """A sentence for the terminal after the app has left it."""
        self._shown = -1
        self._ticking: Any = None
        self._needs_person = ""
        self._title = ""
        """The title that the terminal's window was given."""
        self._stopped_by: int | None = None
        self._begin_theme(theme)

    # -- themes

    def _begin_theme(self, name: str) -> None:
        """Have the theme before the style sheet is read, so that it is read and applied once."""
        for theme in OWN:
            self.register_theme(theme)
        known = name if name in self.available_themes else "avo-dark"
        self.set_reactive(AvoApp.theme, known)
        if self.no_color:
            self._drop_colours()
        theme = self.current_theme
        self.set_class(theme.dark, "-dark-mode", update=False)
        self.set_class(not theme.dark, "-light-mode", update=False)
        self.set_class(theme.ansi, "-ansi", update=False)
        self.stylesheet.set_variables(self.get_css_variables())
        self._refresh_truecolor_filter(self.ansi_theme)

    def _drop_colours(self) -> None:
        """`NO_COLOR`: the terminal's own two colours, bold and reverse; greys are colours too."""
        bare = "ansi-dark" if self.current_theme.dark else "ansi-light"
        self.set_reactive(AvoApp.theme, bare)
        self._filters = [NoColor() if isinstance(f, Monochrome) else f for f in self._filters]

    def get_css_variables(self) -> dict[str, str]:
        """Textual's variables and ours, whatever the theme."""
        made = super().get_css_variables()
        theme = self.current_theme
        for name, value in fallback_variables(theme.ansi).items():
            if name not in made:
                made[name] = (
                    made.get(value[1:], "auto")
                    if value.startswith("$") and " " not in value
                    else self._mixed(made, value)
                )
        return made

    @staticmethod
    def _mixed(made: Mapping[str, str], value: str) -> str:
        if not value.startswith("$"):
            return value
        name, _, rest = value[1:].partition(" ")
        return f"{made.get(name, 'auto')} {rest}".strip()

    def next_theme(self) -> None:
        """The next of our themes and the terminal's own."""
        at = CYCLE.index(self.theme) if self.theme in CYCLE else -1
        self.theme = CYCLE[(at + 1) % len(CYCLE)]
        self.notify(f"theme {self.theme}", timeout=2)

    def _watch_theme(self, theme_name: str) -> None:
        super()._watch_theme(theme_name)
        self.set_class(self.current_theme.ansi, "-ansi")

    # -- life

    def on_mount(self) -> None:
        """Signals, the tick, the first screen."""
        self.set_keymap(self.keys)
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for name in (signal.SIGHUP, signal.SIGTERM):
                loop.add_signal_handler(name, self._signalled, name)
        self.set_low_bandwidth(self.low_bandwidth, tell=False)
        self.set_interval(1.0, self._second)
        if self.start_source is not None:
            self.open_source(self.start_source)
        elif self.start_folder is not None:
            self.open_folder(self.start_folder)
        else:
            from avo_tui.ui.screens.sessions import SessionsScreen

            self.push_screen(SessionsScreen())

    @staticmethod
    def _driver_wanted() -> type[Driver] | None:
        """Our driver on a terminal of Linux or macOS, unless the environment asks for another."""
        return Terminal if constants.DRIVER is None and sys.platform != "win32" else None

    @property
    def terminal(self) -> Terminal | None:
        """The terminal; None where there is none."""
        return self._driver if isinstance(self._driver, Terminal) else None

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Paint, unless the terminal takes nothing: then the present, once it does."""
        terminal = self.terminal
        if terminal is not None and terminal.writer is not None and terminal.writer.behind:
            terminal.writer.when_free(self._paint_later)
            return
        super()._display(screen, renderable)

    def _paint_later(self) -> None:
        self.call_later(self.refresh, layout=True)

    def _mind_link(self) -> None:
        """Choose low bandwidth where the link is slow; say why."""
        link, terminal = self._link, self.terminal
        if link is None or terminal is None or terminal.writer is None or self.low_bandwidth:
            return
        terminal.on_answer = link.answered
        link.wrote(*terminal.writer.sample())
        if link.wants_answer:
            terminal.ask()
        why = link.why_slow()
        if why is not None:
            self._link = None
            self.set_low_bandwidth(True, why=why)

    def _signalled(self, number: int) -> None:
        self._stopped_by = number
        self.leave(128 + number)

    def set_low_bandwidth(self, on: bool, *, tell: bool = True, why: str = "") -> None:
        """Repaint once a second and without gradients; or at the normal pace."""
        self.low_bandwidth = on
        self.animation_level = "none"
        if self._ticking is not None:
            self._ticking.stop()
        self._ticking = self.set_interval(SLOW_TICK_SECONDS if on else TICK_SECONDS, self._tick)
        if on and not self.current_theme.ansi and tell:
            self.theme = "ansi-dark" if self.current_theme.dark else "ansi-light"
        elif not on and self.current_theme.ansi and tell:
            self.theme = "avo-dark" if self.current_theme.dark else "avo-light"
        if not tell:
            return
        self._link = None  # a person has chosen, or it was chosen already
        if why:
            key = self.status_keys().slow_link
            said = f"{why}: one repaint a second and few colours from here on; {key} ends that"
            self.notify(said, title="Low bandwidth", timeout=12)
        else:
            self.notify("low bandwidth " + ("on: one repaint a second" if on else "off"), timeout=3)

    def from_thread(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call something from a worker's thread that mounts widgets or opens screens.

        `call_from_thread` would run it outside the app's own message, where a screen that is
        pushed is not composed in time.
        """
        self.call_from_thread(self.call_later, callback, *arguments)

    # -- the session that is looked at

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

    # -- the tick

    def _tick(self) -> None:
        latest = self.latest
        if latest is None or latest.serial == self._shown or not self.screen_stack:
            return
        self._shown = latest.serial
        screen = self.screen
        if isinstance(screen, AvoScreen):
            screen.show_snapshot(latest)
        else:
            below = next((s for s in reversed(self.screen_stack) if isinstance(s, AvoScreen)), None)
            if below is not None and not self.low_bandwidth:
                below.show_snapshot(latest)
        self._call_person(latest)

    def _second(self) -> None:
        self._mind_link()
        for screen in reversed(self.screen_stack):
            if isinstance(screen, AvoScreen):
                second = getattr(screen, "show_second", None)
                if second is not None:
                    second()
                return

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

    def status_keys(self) -> Keys:
        """The keys that the status line names, as they are bound."""
        from avo_tui.ui.actions import key_name

        def bound(action: str, default: str) -> str:
            return key_name(self.keys.get(action, default))

        return Keys(
            resume=bound("pause", "p"),
            start=bound("start", "R"),
            leave_replay=bound("leave", "q"),
            play=bound("play", "space"),
            live=bound("live", "l"),
            slow_link=bound("slow_link", "ctrl+b"),
        )

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

    # -- palette

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action of the screen, by name."""
        if isinstance(screen, AvoScreen):
            keymap = screen.keymap()
            from avo_tui.ui.actions import shown_key

            for action in screen.ACTIONS:
                if action.id == "palette":
                    continue
                reason = screen.why_not(action)
                key = shown_key(action, keymap)
                said = action.help if reason is None else f"not now: {reason}"
                title = f"{action.label[0].upper()}{action.label[1:]}"
                yield SystemCommand(
                    f"{title} ({key})" if key else title,
                    said,
                    lambda name=action.id: screen.action_act(name),
                )
        for name in self.available_themes:
            if name in CYCLE or name.startswith("avo"):
                yield SystemCommand(
                    f"Theme {name}", "Change the colours", lambda n=name: setattr(self, "theme", n)
                )
        yield SystemCommand("Leave", "Leave the screen; the run goes on", self.leave)


def run_app(app: AvoApp) -> int:
    """Run until the person leaves; prints the farewell; returns the exit code."""
    app.run()
    code = app.return_code or 0
    terminal = app.terminal
    if terminal is not None and terminal.writer is not None and terminal.writer.stuck:
        return code  # nobody reads: a farewell would wait for ever
    if app.farewell:
        print(app.farewell, file=sys.stderr if code else sys.stdout)
    return code
