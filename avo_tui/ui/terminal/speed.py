"""Detects a slow connection by the time the terminal takes to answer and to accept output."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

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
