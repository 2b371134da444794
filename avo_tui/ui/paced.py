"""How often the app paints, and on what: the terminal, its link, low bandwidth."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from textual import constants
from textual.driver import Driver
from textual.screen import Screen

from avo_tui.ui.actions import key_name
from avo_tui.ui.leaving import Leaving
from avo_tui.ui.link import Link, is_remote
from avo_tui.ui.screens.base import AvoScreen
from avo_tui.ui.terminal import Terminal
from avo_tui.ui.views.status import Keys

TICK_SECONDS = 0.2
SLOW_TICK_SECONDS = 1.0


class Paced(Leaving):
    """An app that paints at a pace its terminal can take."""

    def __init__(self, low_bandwidth: bool | None, keys: Mapping[str, str], **options: Any) -> None:
        super().__init__(driver_class=self._driver_wanted(), **options)
        self.low_bandwidth = bool(low_bandwidth)
        self._link = Link() if low_bandwidth is None and is_remote() else None
        """What is known of the connection; None where nobody asks."""
        self.keys = dict(keys)
        """Keys that were moved: the action's id → its key."""
        self._ticking: Any = None

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

    def status_keys(self) -> Keys:
        """The keys that the status line names, as they are bound."""

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
