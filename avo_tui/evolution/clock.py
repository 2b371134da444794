"""Running time: the time that counts towards the cap on hours and towards a stall."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

FROZEN_SECONDS = 20.0
"""Delay between two calls of `Clock.beat` above which the process is taken to have been stopped."""


class Clock:
    """Counts the seconds in which no hold is set. Paused, parked and waiting time sets a hold."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._holds: set[str] = {"not started"}
        self._since = now()
        self._pending = 0.0
        self._apart: float | None = None
        """Seconds in doubt; None while nothing is in doubt."""

        self._beat = monotonic()

    def beat(self, every: float) -> float:
        """Call this every `every` seconds; returns how many seconds the call came too late.

        Small delays of a busy machine return 0.0. A longer delay means that the process was stopped
        (SIGSTOP) or had no processor time; that time is not counted as running time.
        """
        real = monotonic()
        lost, self._beat = real - self._beat - every, real
        if lost < FROZEN_SECONDS:
            return 0.0
        if not self._holds:
            self._since += min(lost, max(0.0, self._now() - self._since))
        return lost

    def start(self) -> None:
        """Start counting."""
        self.release("not started")

    def hold(self, reason: str) -> None:
        """Stop counting until `release(reason)` is called."""
        self._note()
        self._holds.add(reason)

    def release(self, reason: str) -> None:
        """Remove one hold; counting continues when none is left."""
        if reason in self._holds:
            self._holds.discard(reason)
            if not self._holds:
                self._since = self._now()

    def doubt(self) -> None:
        """Keep the seconds from now on apart, until `confirm` or `discard` says what they were."""
        if self._apart is None:
            self._note()
            self._apart = 0.0

    @property
    def in_doubt(self) -> bool:
        """Whether the seconds now are kept apart."""
        return self._apart is not None

    def confirm(self) -> None:
        """Count the seconds that were in doubt."""
        self._note()
        self._pending += self._apart or 0.0
        self._apart = None

    def discard(self) -> None:
        """Forget the seconds that were in doubt."""
        self._note()
        self._apart = None

    def _note(self) -> None:
        """Add the seconds since the last call to the sum they belong to."""
        if self._holds:
            return
        seconds, self._since = self._now() - self._since, self._now()
        if self._apart is None:
            self._pending += seconds
        else:
            self._apart += seconds

    @property
    def pending(self) -> float:
        """Seconds counted since the last call of `take`, without those in doubt."""
        running = 0.0 if self._holds or self._apart is not None else self._now() - self._since
        return self._pending + running

    def take(self) -> float:
        """Return the seconds counted since the last call, and start from zero."""
        self._note()
        seconds, self._pending = self._pending, 0.0
        return seconds
