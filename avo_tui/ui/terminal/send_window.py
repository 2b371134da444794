"""Limits how much output is on its way to a terminal that is far away.

Behind a slow line, sshd and the network accept hundreds of kilobytes that arrive many seconds
later, and the picture that answers a key would wait behind them. So the app asks the terminal where
its cursor is (`ESC [ 6 n`) after each picture. Terminals handle their input in order, so the answer
means that everything sent before the question has arrived.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

QUESTION = "\x1b[6n"
NARROW_BYTES = 1024
"""Most bytes on their way over a slow line, or one whose speed is not known yet; an eighth of a
second at 64 kbit/s. A picture may exceed it, the next one then waits."""
WIDE_BYTES = 32 * 1024
"""Most bytes on their way over a line that is not slow."""
ANSWER_SECONDS = 10.0
"""Seconds without an answer after which a question counts as lost."""
FIRST_ANSWER_SECONDS = 3.0
"""The same for the first question: a terminal that has never answered probably never does."""
LEAVING_SECONDS = 3.0
"""Seconds for which open questions are waited for before another program gets the terminal."""
ASK_BYTES = 256
"""Fewer bytes than this are not worth a question of their own."""


class SendWindow:
    """Counts the bytes that the terminal has not confirmed, in the order in which they were sent.

    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._asked: deque[tuple[float, int]] = deque()
        """For each open question, when it was asked and the bytes sent since the one before."""
        self._since = 0
        """Bytes sent since the last question."""
        self._has_answered = False
        self.mute = False
        """Whether the terminal never answers, so that nothing can be learnt from asking."""

    def sent(self, count: int) -> None:
        self._since += count

    def asked(self) -> None:
        self._asked.append((self._clock(), self._since))
        self._since = 0

    def answered(self) -> float | None:
        """An answer came: the seconds it took; None if no question was open."""
        self._has_answered, self.mute = True, False
        if not self._asked:
            return None
        return self._clock() - self._asked.popleft()[0]

    @property
    def waits(self) -> bool:
        self._give_up()
        return bool(self._asked)

    @property
    def leaving_seconds(self) -> float:
        """How long to wait for answers before another program gets the terminal."""
        return LEAVING_SECONDS if self._has_answered else LEAVING_SECONDS / 6

    @property
    def should_ask(self) -> bool:
        """Whether enough was sent since the last question."""
        return not self.mute and self._since >= ASK_BYTES

    def full(self, limit: int) -> bool:
        """Whether more than `limit` bytes are still on their way."""
        self._give_up()
        return bool(self._asked) and sum(count for _, count in self._asked) + self._since > limit

    def _give_up(self) -> None:
        """Forget questions that nobody answers, so that nothing waits for ever."""
        patience = ANSWER_SECONDS if self._has_answered else FIRST_ANSWER_SECONDS
        if self._asked and self._clock() - self._asked[0][0] > patience:
            self.mute = not self._has_answered
            self._asked.clear()
            self._since = 0
