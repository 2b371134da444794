"""The connection to the terminal: how fast it is, and how much is sent over it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from textual.timer import Timer

from avo_tui.ui.terminal.send_window import NARROW_BYTES, WIDE_BYTES
from avo_tui.ui.textual_internals import OpenedApp
from avo_tui.ui.theme import ThemeCycle

SLOW_ANSWER = 0.25
"""Seconds; a connection counts as slow if even the quickest of a few answers takes longer."""
ANSWERS = 3
WINDOW = 10
"""Length in seconds of the window in which blocked writes are counted."""
BLOCKED = 0.5
"""Fraction of a second that writing must wait for the second to count as blocked."""
OFTEN = 5
"""Number of blocked seconds in the window that makes a connection count as slow."""


def is_remote(environment: Mapping[str, str] | None = None) -> bool:
    """True where the terminal is at the other end of an SSH connection."""
    known = os.environ if environment is None else environment
    return bool(known.get("SSH_CONNECTION") or known.get("SSH_TTY"))


@dataclass
class LinkSpeed:
    """Measurements of the connection, and the conclusion from them."""

    answers: list[float] = field(default_factory=list)
    seconds: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    @property
    def wants_answer(self) -> bool:
        """True until enough answers are known."""
        return len(self.answers) < ANSWERS

    def answered(self, seconds: float) -> None:
        """Record how long the terminal took to answer, in seconds."""
        self.answers.append(seconds)

    def wrote(self, blocked: float, count: int) -> None:
        """Record how long writing waited in the last second, and how many bytes were sent.

        A second without any output accepted means that the terminal has stopped, not that it is
        slow.
        """
        self.seconds.append(blocked > BLOCKED and count > 0)

    def why_slow(self) -> str | None:
        """Why the connection is slow, as part of a sentence; None if it is not known to be."""
        if len(self.answers) >= ANSWERS and min(self.answers) > SLOW_ANSWER:
            return f"the terminal takes {min(self.answers):.1f} s to answer"
        if sum(self.seconds) >= OFTEN:
            return "the connection does not keep up"
        return None


TICK_SECONDS = 0.2
SLOW_TICK_SECONDS = 1.0
REST, MOST_REST = 2, 4.0
"""Over a slow line the run's own repaints wait this many times as long as the last picture took to
arrive, and at most so many seconds: the answer to a key finds the line free."""


FIRST_BYTES = 4096
"""Bytes of the first picture that are sent in small pieces to a terminal that may be far away, so
that its first rows are seen at once."""


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
        self.saves = self.low_bandwidth or is_remote()
        """Whether the terminal may be far away, so that only changes are sent, and no picture while
        too much is still on its way."""
        self._held = False
        """Whether a picture was held back."""
        self._rests_until = 0.0
        """When the line may be used again for what nobody asked for."""
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to tick, and to measure before the first picture is in the way."""
        self._set_pace()
        terminal = self._app.terminal
        if terminal is not None and self.saves:
            terminal.on_answer = self._answered
            if terminal.writer is not None:
                terminal.writer.in_small_pieces = FIRST_BYTES
            terminal.ask()

    def takes_pictures(self) -> bool:
        """Whether the terminal can accept a picture; if not, a current one is painted when it can.

        Pictures that cannot be sent are dropped, because they would be out of date on arrival.
        """
        terminal = self._app.terminal
        if terminal is None or terminal.writer is None:
            return True
        if terminal.writer.behind:
            terminal.writer.when_free(self._paint_later)
            return False
        if self.saves and terminal.window.full(self._most_on_its_way):
            self._held = True
            return False
        return True

    @property
    def takes_images(self) -> bool:
        """Whether the line is known to be fast enough for images."""
        return not self.low_bandwidth and (self._speed is None or not self._speed.wants_answer)

    @property
    def _most_on_its_way(self) -> int:
        """Bytes that may be on their way to the terminal before the next picture waits."""
        known = self._speed is None or not self._speed.wants_answer
        return WIDE_BYTES if known and not self.low_bandwidth else NARROW_BYTES

    def painted(self) -> None:
        """A picture is on its way: ask the terminal when it has arrived."""
        terminal = self._app.terminal
        if terminal is not None and self.saves and terminal.window.should_ask:
            terminal.ask()

    def _answered(self, seconds: float) -> None:
        """The terminal has received everything up to a question, `seconds` after it was asked."""
        self._rests_until = monotonic() + min(REST * seconds, MOST_REST)
        speed, terminal = self._speed, self._app.terminal
        if speed is not None and speed.wants_answer:
            speed.answered(seconds)
            self._judge(speed)
            if speed.wants_answer and terminal is not None and not terminal.window.waits:
                terminal.ask()
        self._release()

    def _release(self) -> None:
        """Paint what was held back, if it may be sent now."""
        terminal = self._app.terminal
        if self._held and terminal is not None and not terminal.window.full(self._most_on_its_way):
            self._held = False
            self._app.call_later(self._app.paint_all)

    def _paint_later(self) -> None:
        self._app.call_later(self._app.paint_all)

    def measure(self) -> None:
        """Called once a second: choose low bandwidth if the connection is slow, and say why."""
        self._release()
        speed, terminal = self._speed, self._app.terminal
        if speed is None or terminal is None or terminal.writer is None or self.low_bandwidth:
            return
        speed.wrote(*terminal.writer.sample())
        if speed.wants_answer and not terminal.window.waits:
            terminal.ask()
        self._judge(speed)

    def _judge(self, speed: LinkSpeed) -> None:
        """Give way if the connection has turned out to be slow."""
        why = speed.why_slow()
        if why is not None and not self.low_bandwidth:
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
        self.saves = on or is_remote()
        terminal = self._app.terminal
        if terminal is not None:
            terminal.sent_screen.forget()
            terminal.on_answer = self._answered
        self._set_pace()
        self._themes.prefer_few_colours(on)

    def _set_pace(self) -> None:
        self._app.animation_level = "none"
        if self._timer is not None:
            self._timer.stop()
        seconds = SLOW_TICK_SECONDS if self.low_bandwidth else TICK_SECONDS
        self._timer = self._app.set_interval(seconds, self._tick_if_free)

    def _tick_if_free(self) -> None:
        """Show what is new, unless a slow line still carries the picture before or rests."""
        terminal = self._app.terminal
        resting = terminal is not None and (
            terminal.window.waits or monotonic() < self._rests_until
        )
        if not (self.low_bandwidth and resting):
            self._tick()
