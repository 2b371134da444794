"""Running time: what counts against the budget of hours and towards a stall."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

FROZEN_SECONDS = 20.0
"""A gap between two beats from which on the process counts as having stood still."""


class Clock:
    """Counts seconds while nothing holds it. Paused, parked and waiting time is not counted."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._holds: set[str] = {"not started"}
        self._since = now()
        self._pending = 0.0

        self._beat = monotonic()

    def beat(self, every: float) -> float:
        """To be called every so many seconds; returns the seconds that nobody called it.

        A process that was stopped (SIGSTOP) or starved for long did not run: that time is not
        counted. 0.0 for the small delays of a busy machine.
        """
        real = monotonic()
        lost, self._beat = real - self._beat - every, real
        if lost < FROZEN_SECONDS:
            return 0.0
        if not self._holds:
            self._since += min(lost, max(0.0, self._now() - self._since))
        return lost

    def start(self) -> None:
        """Begins to count."""
        self.release("not started")

    def hold(self, reason: str) -> None:
        """Stops counting until `release(reason)`."""
        if not self._holds:
            self._pending += self._now() - self._since
        self._holds.add(reason)

    def release(self, reason: str) -> None:
        """Takes one hold away; counts again when it was the last."""
        if reason in self._holds:
            self._holds.discard(reason)
            if not self._holds:
                self._since = self._now()

    @property
    def pending(self) -> float:
        """Seconds counted and not taken yet."""
        running = 0.0 if self._holds else self._now() - self._since
        return self._pending + running

    def take(self) -> float:
        """The seconds counted since the last call."""
        seconds = self.pending
        self._pending = 0.0
        self._since = self._now()
        return seconds
