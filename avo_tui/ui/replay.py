"""A recorded session played through the same screens: pause, speed, seek.

The events are those of the journal; time runs at `speed`, and gaps longer than a few seconds are
cut short. Jumping back folds the state anew from the first event.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Command
from avo_tui.domain.events import Event, SessionCreated, StepStarted
from avo_tui.domain.records import Attempt, RunState
from avo_tui.domain.state import SessionState
from avo_tui.domain.verdict import EvaluationReport
from avo_tui.ui.feed import BATCH, ReplayStatus, Source

LONGEST_GAP = 2.0
"""Seconds of recorded silence that are played; longer ones are cut to this."""
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class ReplaySource:
    """A `Source` whose events come by the clock. Nothing can be sent to it."""

    def __init__(self, recorded: Source, speed: float = 1.0) -> None:
        """Raises ValueError for a session without events."""
        self._recorded = recorded
        self.folder: Path = recorded.folder
        self.name = recorded.name
        self._events = list(recorded.events())
        if not self._events or not isinstance(self._events[0], SessionCreated):
            raise ValueError(f"the journal of {recorded.name} is empty: there is nothing to play")
        self._times = self._timeline()
        self._steps = [i for i, e in enumerate(self._events) if isinstance(e, StepStarted)]
        self._speed = max(0.1, speed)
        self._playing = True
        self._lock = threading.RLock()
        self.generation = 0
        """Counts the jumps back: whoever folds the events has to start again."""
        self._begin()

    def _timeline(self) -> list[float]:
        """Seconds from the start at which each event is played."""
        times, at = [], 0.0
        before: datetime | None = None
        for event in self._events:
            if before is not None:
                at += min(LONGEST_GAP, max(0.0, (event.at - before).total_seconds()))
            times.append(at)
            before = event.at
        return times

    def _begin(self) -> None:
        first = self._events[0]
        assert isinstance(first, SessionCreated)
        self.state = SessionState.begin(first)
        self._next = 1
        self._clock = 0.0
        self._moment = time.monotonic()

    @property
    def times(self) -> list[float]:
        """Seconds from the start at which each event is played, at speed 1."""
        return list(self._times)

    # -- a source

    def poll(self, limit: int = BATCH) -> list[Event]:
        """The events whose time has come."""
        with self._lock:
            now = time.monotonic()
            if self._playing:
                self._clock += (now - self._moment) * self._speed
            self._moment = now
            out: list[Event] = []
            while self._next < len(self._events) and len(out) < limit:
                if self._times[self._next] > self._clock:
                    break
                out.append(self._take())
            return out

    def _take(self) -> Event:
        event = self._events[self._next]
        self._next += 1
        self.state.apply(event)
        return event

    def events(self, step: int | None = None, after: int = 0) -> Iterator[Event]:
        """Events up to the present place."""
        with self._lock:
            known = self._events[: self._next]
        return iter([e for e in known if e.seq > after and (step is None or e.step == step)])

    def get(self, identity: str) -> bytes:
        """An object."""
        return self._recorded.get(identity)

    def chunks(self, identity: str) -> Iterator[bytes]:
        """An object piece by piece."""
        return self._recorded.chunks(identity)

    def text(self, identity: str) -> str:
        """An object as text."""
        return self._recorded.text(identity)

    def candidate(self, identity: str) -> Candidate:
        """A candidate."""
        return self._recorded.candidate(identity)

    def report(self, attempt: Attempt) -> EvaluationReport | None:
        """The report of an attempt."""
        return self._recorded.report(attempt)

    def run_state(self) -> RunState:
        """The state as it was recorded."""
        return self.state.session.state

    def send(self, command: Command) -> str:
        """Refused. Raises ValueError."""
        raise ValueError("this is a replay: nothing can be changed in it")

    # -- control

    def status(self) -> ReplayStatus:
        """Where it stands."""
        with self._lock:
            at_end = self._next >= len(self._events)
            return ReplayStatus(self._speed, self._playing, self._next, len(self._events), at_end)

    def toggle(self) -> None:
        """Play or stand still; at the end, from the start."""
        with self._lock:
            if self._next >= len(self._events):
                self.seek(1)
                self._playing = True
            else:
                self.poll(0)
                self._playing = not self._playing

    def faster(self) -> None:
        """The next speed."""
        self.poll(0)
        self._speed = next((s for s in SPEEDS if s > self._speed * 1.01), SPEEDS[-1])

    def slower(self) -> None:
        """The speed before."""
        self.poll(0)
        self._speed = next((s for s in reversed(SPEEDS) if s < self._speed * 0.99), SPEEDS[0])

    def seek(self, place: int) -> None:
        """To the event numbered `place` from 1; forwards or back."""
        with self._lock:
            place = max(1, min(place, len(self._events)))
            if place < self._next:
                self._begin()
            while self._next < place:
                self._take()
            self._clock = self._times[self._next - 1]
            self._moment = time.monotonic()
            self.generation += 1

    def next_step(self) -> None:
        """To the start of the next step."""
        with self._lock:
            self.seek(next((i + 1 for i in self._steps if i >= self._next), len(self._events)))

    def previous_step(self) -> None:
        """To the start of this step, or of the one before where this one has just begun."""
        with self._lock:
            earlier = [i for i in self._steps if i + 1 < self._next]
            if (
                earlier
                and self._times[self._next - 1] - self._times[earlier[-1]] < 1.5 * self._speed
            ):
                earlier = earlier[:-1] or earlier
            self.seek(earlier[-1] + 1 if earlier else 1)
