"""Keeps some states of a recording, so that jumping back need not replay it from the start."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, fields, replace
from typing import Any

from avo_tui.domain.state import SessionState

MOST = 32
"""Largest number of keyframes; one of a week's session takes less than a megabyte."""
APART = 256
"""Number of events between two keyframes, as long as there is room for all."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """The state of a recording at one position."""

    state: SessionState
    """The state at this position. Never changed; `copied` returns a copy that may be."""
    at: float
    """Seconds of playing from the start, at speed 1."""

    @property
    def seq(self) -> int:
        """The last event that was taken."""
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
