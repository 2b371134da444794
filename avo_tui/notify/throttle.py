"""Decides when to send an alert: by kind, number per hour, and quiet hours. Pure functions."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from avo_tui.notify.alerts import Alert, Kind

HOUR = timedelta(hours=1)
_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


@dataclass(frozen=True)
class QuietHours:
    """A daily time span in the machine's local time; it may extend over midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours | None:
        """From a text such as `22:00-07:00`; None for an empty one. Raises ValueError otherwise."""
        if not text.strip():
            return None
        match = _SPAN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"quiet hours are written as 22:00-07:00, not {text!r}")
        first, second, third, fourth = map(int, match.groups())
        try:
            return cls(time(first, second), time(third, fourth))
        except ValueError as error:
            raise ValueError(f"quiet hours {text!r}: {error}") from error

    def hold(self, moment: datetime) -> bool:
        """Whether a moment (with time zone) is within the quiet hours."""
        clock = moment.astimezone().time()
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


@dataclass
class Rules:
    """Decides which alerts may be sent now; the others are kept and sent together later."""

    kinds: frozenset[Kind]
    most_an_hour: int = 12
    """Largest number of messages per hour, over all sessions."""
    quiet: QuietHours | None = None
    urgent: frozenset[Kind] = frozenset()
    """Kinds of alert that are sent even in quiet hours."""
    held: list[Alert] = field(default_factory=list)
    """Alerts that wait for the end of the quiet hours, or of the hourly limit."""
    _sent: deque[datetime] = field(default_factory=deque)

    def admit(self, new: Iterable[Alert], now: datetime) -> list[list[Alert]]:
        """The messages to send now; each contains one alert, or all that were held back."""
        # what was sent later than now was sent before the clock was set back
        while self._sent and not now - HOUR < self._sent[0] <= now:
            self._sent.popleft()
        silent = self.quiet is not None and self.quiet.hold(now)
        messages: list[list[Alert]] = []
        waiting, self.held = self.held, []
        if waiting and not silent and self._room():
            messages.append(waiting)
            self._sent.append(now)
            waiting = []
        for one in new:
            if one.kind not in self.kinds and one.kind != "test":
                continue
            if (silent and one.kind not in self.urgent) or waiting or not self._room():
                waiting.append(one)
            else:
                messages.append([one])
                self._sent.append(now)
        self.held = waiting
        return messages

    def _room(self) -> bool:
        return len(self._sent) < self.most_an_hour
