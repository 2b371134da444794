"""Monitors the connection to the terminal and adapts the rate of painting to it."""

from __future__ import annotations

from collections.abc import Callable

from textual.timer import Timer

from avo_tui.ui.terminal.speed import LinkSpeed, is_remote
from avo_tui.ui.textual_internals import OpenedApp
from avo_tui.ui.theme.cycle import ThemeCycle

TICK_SECONDS = 0.2
SLOW_TICK_SECONDS = 1.0


class Connection:
    """The capacity of the connection to the terminal.

    With `low_bandwidth` None, it is chosen automatically for a slow connection. `tick` is called at
    the pace of the connection; `key` names the key that switches low bandwidth.
    """

    def __init__(
        self,
        app: OpenedApp,
        low_bandwidth: bool | None,
        themes: ThemeCycle,
        tick: Callable[[], None],
        key: Callable[[], str],
    ) -> None:
        self._app, self._themes, self._tick, self._key = app, themes, tick, key
        self.low_bandwidth = bool(low_bandwidth)
        self._speed = LinkSpeed() if low_bandwidth is None and is_remote() else None
        """The measured speed; None if nothing is measured, or once a choice was made."""
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._set_pace()

    def takes_pictures(self) -> bool:
        """Whether the terminal can accept a picture; if not, a current one is painted when it can.

        Pictures that cannot be sent are dropped, because they would be out of date on arrival.
        """
        terminal = self._app.terminal
        if terminal is None or terminal.writer is None or not terminal.writer.behind:
            return True
        terminal.writer.when_free(self._paint_later)
        return False

    def _paint_later(self) -> None:
        self._app.call_later(self._app.refresh, layout=True)

    def measure(self) -> None:
        """Called once a second: choose low bandwidth if the connection is slow, and say why."""
        speed, terminal = self._speed, self._app.terminal
        if speed is None or terminal is None or terminal.writer is None or self.low_bandwidth:
            return
        terminal.on_answer = speed.answered
        speed.wrote(*terminal.writer.sample())
        if speed.wants_answer:
            terminal.ask()
        why = speed.why_slow()
        if why is not None:
            self.give_way(why)

    def give_way(self, why: str) -> None:
        """Switch to low bandwidth; `why` is the beginning of the sentence shown to the person."""
        self._choose(True)
        text = f"{why}: one repaint a second and few colours from here on; {self._key()} ends that"
        self._app.notify(text, title="Low bandwidth", timeout=12)

    def toggle(self) -> None:
        """Low bandwidth on or off, as the person asks."""
        on = not self.low_bandwidth
        self._choose(on)
        text = "low bandwidth " + ("on: one repaint a second" if on else "off")
        self._app.notify(text, timeout=3)

    def _choose(self, on: bool) -> None:
        self.low_bandwidth, self._speed = on, None
        self._set_pace()
        self._themes.prefer_few_colours(on)

    def _set_pace(self) -> None:
        self._app.animation_level = "none"
        if self._timer is not None:
            self._timer.stop()
        seconds = SLOW_TICK_SECONDS if self.low_bandwidth else TICK_SECONDS
        self._timer = self._app.set_interval(seconds, self._tick)
