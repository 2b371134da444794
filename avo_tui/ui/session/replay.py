"""Plays a recorded session on the same screens: pause, speed, seek."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Command
from avo_tui.domain.events import Event, SessionCreated, StepStarted
from avo_tui.domain.records import Attempt, RunState
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.state import SessionState
from avo_tui.ui.session.feed import BATCH, ReplayStatus, Source

MOST = 32
"""Largest number of keyframes; one of a week's session takes less than a megabyte."""
APART = 256
"""Number of events between two keyframes, as long as there is room for all."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    state: SessionState
    """The state at this position. Never changed; `copied` returns a copy that may be."""
    at: float
    """Seconds of playing from the start, at speed 1."""

    @property
    def seq(self) -> int:
        return self.state.session.applied


class Keyframes:
    """Up to `MOST` keyframes, spread over the part that was played. The first one is always
    kept."""

    def __init__(self, first: Keyframe) -> None:
        self._kept = [first]
        self._apart = APART

    def offer(self, state: SessionState, at: float) -> None:
        """Keep this state if it is far enough after the last one kept."""
        if state.session.applied - self._kept[-1].seq < self._apart:
            return
        self._kept.append(Keyframe(copied(state), at))
        if len(self._kept) > MOST:
            self._kept = self._kept[::2]
            self._apart *= 2

    def before(self, seq: int) -> Keyframe:
        """The last place at or before event `seq`."""
        return self._kept[max(0, bisect_right(self._kept, seq, key=lambda k: k.seq) - 1)]


def copied(state: SessionState) -> SessionState:
    """A state that can be changed alone; the records themselves are never changed."""
    tables: dict[str, Any] = {
        f.name: table.copy()
        for f in fields(state)
        if isinstance(table := getattr(state, f.name), dict)
    }
    return replace(state, **tables)


LONGEST_GAP = 2.0
"""Longest gap between two events that is played, in seconds; longer ones are shortened to this."""
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class ReplaySource:
    """A `Source` that provides recorded events as time passes. It accepts no commands."""

    def __init__(self, recorded: Source, speed: float = 1.0) -> None:
        """Raises ValueError for a session without events."""
        self._recorded = recorded
        self.folder: Path = recorded.folder
        self.name = recorded.name
        first = next(recorded.events(), None)
        if not isinstance(first, SessionCreated):
            raise ValueError(f"the journal of {recorded.name} is empty: there is nothing to play")
        self._total = recorded.state.session.applied
        """Number of the last event to play; events that a running session adds are not played."""
        self._speed = max(0.1, speed)
        self._playing = True
        self._lock = threading.RLock()
        self.reloads = 0
        """Number of jumps; after each one, the events have to be applied from the start."""
        begin = Keyframe(SessionState.begin(first), 0.0)
        self._keyframes = Keyframes(begin)
        self._starts: list[tuple[int, float]] = []
        """Event and second of the start of each step that was played."""
        self._go_on_from(begin)

    def _go_on_from(self, place: Keyframe) -> None:
        self.state = copied(place.state)
        self._at = self._clock = place.at
        self._moment = time.monotonic()
        self._starts = [start for start in self._starts if start[0] <= place.seq]
        self._coming = self._recorded.events(after=place.seq)
        self._next: Event | None = None
        self._failure: OSError | None = None
        self._fetch()

    def _fetch(self) -> None:
        """Read the next event and its time; None at the end, or if reading fails."""
        try:
            event = next(self._coming, None)
        except OSError as error:
            event, self._failure = None, error
        self._next = event if event is not None and event.seq <= self._total else None
        if self._next is not None:
            self._due = self._at + _gap(self.state.session.last_event_at, self._next)

    # -- a source

    def poll(self, limit: int = BATCH) -> list[Event]:
        """The events whose time has come. Raises OSError, once, where the journal ends in one."""
        with self._lock:
            self._keep_time()
            out: list[Event] = []
            while self._next is not None and self._due <= self._clock and len(out) < limit:
                out.append(self._take(self._next))
            if not out and self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            return out

    def _keep_time(self) -> None:
        """Advance the recording's clock to the present."""
        now = time.monotonic()
        if self._playing:
            self._clock += (now - self._moment) * self._speed
        self._moment = now

    def _take(self, event: Event) -> Event:
        self._at = self._due
        try:
            self.state.apply(event)
        except KeyError:  # a broken journal: whoever opened it has said what is wrong with it
            self.state.skip(event)
        if isinstance(event, StepStarted):
            self._starts.append((event.seq, self._at))
            self._keyframes.offer(self.state, self._at)
        self._fetch()
        return event

    def events(self, step: int | None = None, after: int = 0) -> Iterator[Event]:
        """Events up to the present place."""
        last = self.state.session.applied
        return takewhile(lambda event: event.seq <= last, self._recorded.events(step, after))

    def chunks(self, identity: str) -> Iterator[bytes]:
        return self._recorded.chunks(identity)

    def candidate(self, identity: str) -> Candidate:
        return self._recorded.candidate(identity)

    def report(self, attempt: Attempt) -> EvaluationReport | None:
        return self._recorded.report(attempt)

    def standing(self) -> tuple[RunState, str]:
        """State and reason as they were recorded."""
        return self.state.session.state, self.state.session.state_reason

    def send(self, command: Command) -> str:
        """Refused. Raises ValueError."""
        raise ValueError("this is a replay: nothing can be changed in it")

    # -- control

    def status(self) -> ReplayStatus:
        with self._lock:
            position = self.state.session.applied
            return ReplayStatus(
                self._speed, self._playing, position, self._total, self._next is None
            )

    def toggle(self) -> None:
        """Play or pause; at the end, play from the start."""
        with self._lock:
            if self._next is None:
                self.seek(1)
                self._playing = True
            else:
                self._keep_time()
                self._playing = not self._playing

    def faster(self) -> None:
        with self._lock:
            self._keep_time()
            self._speed = next((s for s in SPEEDS if s > self._speed * 1.01), SPEEDS[-1])

    def slower(self) -> None:
        with self._lock:
            self._keep_time()
            self._speed = next((s for s in reversed(SPEEDS) if s < self._speed * 0.99), SPEEDS[0])

    def seek(self, number: int) -> None:
        """To the event numbered `number` from 1; forwards or back."""
        with self._lock:
            number = max(1, number)
            if number < self.state.session.applied:
                self._go_on_from(self._keyframes.before(number))
            while self._next is not None and self._next.seq <= number:
                self._take(self._next)
            self._stand_here()

    def _stand_here(self) -> None:
        """Continue playing from here, after a jump."""
        self._clock = self._at
        self._moment = time.monotonic()
        self.reloads += 1

    def next_step(self) -> None:
        with self._lock:
            while self._next is not None:
                if isinstance(self._take(self._next), StepStarted):
                    break
            self._stand_here()

    def previous_step(self) -> None:
        """To the start of this step, or of the one before where this one has just begun."""
        with self._lock:
            earlier = [start for start in self._starts if start[0] < self.state.session.applied]
            if earlier and self._at - earlier[-1][1] < 1.5 * self._speed:
                earlier = earlier[:-1] or earlier
            self.seek(earlier[-1][0] if earlier else 1)


def _gap(before: datetime | None, event: Event) -> float:
    """Seconds that pass before an event is played, at speed 1."""
    if before is None:
        return 0.0
    return min(LONGEST_GAP, max(0.0, (event.at - before).total_seconds()))
