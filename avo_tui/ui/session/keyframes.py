"""States of a recording that are kept, so that a jump back does not begin at the beginning."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, fields, replace
from typing import Any

from avo_tui.domain.state import SessionState

MOST = 32
"""Keyframes that are kept; of a week's session one takes under a megabyte."""
APART = 256
"""Events between two of them, as long as there is room for all."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A place in a recording."""

    state: SessionState
    """As of this place. Never changed: `copied` gives one that can be."""
    at: float
    """Seconds of playing from the start, at speed 1."""

    @property
    def seq(self) -> int:
        """The last event that was taken."""
        return self.state.session.applied


class Keyframes:
    """At most `MOST` places, in order, spread over what was played. The first one always stays."""

    def __init__(self, first: Keyframe) -> None:
        self._kept = [first]
        self._apart = APART

    def offer(self, state: SessionState, at: float) -> None:
        """Keep this place where it lies far enough behind the last one that is kept."""
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
        f.name: dict(table)
        for f in fields(state)
        if isinstance(table := getattr(state, f.name), dict)
    }
    return replace(state, **tables)
