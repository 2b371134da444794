"""Is the way to the terminal slow? From how long it takes to answer and to take what is written."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

SLOW_ANSWER = 0.25
"""Seconds: the quickest of a few answers of a slow link takes longer."""
ANSWERS = 3
WINDOW = 10
"""Seconds that are looked at for writes that do not come through."""
BLOCKED = 0.5
"""Share of a second in which writing waits for the link."""
OFTEN = 5
"""So many blocked seconds of the window mean that the link is full."""


def is_remote(environment: Mapping[str, str] | None = None) -> bool:
    """True where the terminal is at the other end of an SSH connection."""
    known = os.environ if environment is None else environment
    return bool(known.get("SSH_CONNECTION") or known.get("SSH_TTY"))


@dataclass
class LinkSpeed:
    """What was measured of the link, and what follows from it."""

    answers: list[float] = field(default_factory=list)
    seconds: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    @property
    def wants_answer(self) -> bool:
        """True until enough answers are known."""
        return len(self.answers) < ANSWERS

    def answered(self, seconds: float) -> None:
        """The terminal took so long to answer."""
        self.answers.append(seconds)

    def wrote(self, blocked: float, count: int) -> None:
        """In the last second writing waited so long, and so many bytes came through.

        A second in which nothing came through is a terminal that stands still, not a slow one.
        """
        self.seconds.append(blocked > BLOCKED and count > 0)

    def why_slow(self) -> str | None:
        """Why the link is slow, as a part of a sentence; None while it is not known to be."""
        if len(self.answers) >= ANSWERS and min(self.answers) > SLOW_ANSWER:
            return f"the terminal takes {min(self.answers):.1f} s to answer"
        if sum(self.seconds) >= OFTEN:
            return "the connection does not keep up"
        return None
