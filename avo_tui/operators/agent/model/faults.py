"""What can go wrong between us and the model, named, with how long to wait for it to pass."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from avo_tui.operators.agent.words import clean_text

FaultKind = Literal[
    "rate_limit",  # 429: wait as long as the server says
    "overloaded",  # 529, or the same in mid-stream
    "server",  # 5xx, and other trouble on their side
    "connection",  # refused, reset, name not found
    "timeout",  # no byte, or no progress, for too long
    "cut_off",  # the stream ended without its stop
    "malformed",  # the stream or its JSON cannot be read
    "context",  # the conversation does not fit
    "rejected",  # 400: the request is not valid to this endpoint
    "auth",  # 401, 403, no credentials
    "billing",  # no credit, a spend limit
    "model",  # 404: no such model
    "endpoint",  # an address that does not speak the Messages API, or redirects elsewhere
]

WAITING: frozenset[FaultKind] = frozenset(
    {"rate_limit", "overloaded", "server", "connection", "timeout", "cut_off"}
)
"""Faults that time mends; they never pause the run, however long they last."""

FOR_THE_PERSON: frozenset[FaultKind] = frozenset({"auth", "billing", "model", "endpoint"})
"""Faults that only the person can mend."""

LONGEST_RETRY_AFTER = 24 * 3600.0
"""Seconds of a server's `retry-after` that are obeyed; then the request is tried again."""


class Fault(Exception):  # noqa: N818 - a fault of the way to the model, not of the program
    """A request that came to nothing."""

    def __init__(self, kind: FaultKind, sentence: str, retry_after: float | None = None) -> None:
        sentence = clean_text(sentence)  # it quotes the server, and is written to the journal
        super().__init__(sentence)
        self.kind: FaultKind = kind
        self.sentence = sentence
        self.retry_after = retry_after
        """Seconds that the server asked for."""


@dataclass
class Patience:
    """How long to wait after each fault in a row, and when waiting is no use."""

    first: float
    longest: float
    breaker: int
    chance: random.Random = field(default_factory=random.Random)
    waits: int = 0
    broken: int = 0

    def wait(self, fault: Fault) -> float:
        """Seconds until the next try. The server's word counts; ours grows and is bounded."""
        grown: float = min(self.longest, self.first * 2.0**self.waits)
        own = grown * self.chance.uniform(0.75, 1.25)
        self.waits = min(self.waits + 1, 30)
        if fault.retry_after is not None:
            return min(LONGEST_RETRY_AFTER, max(fault.retry_after, min(own, 1.0)))
        return own

    def breaks(self) -> bool:
        """Count a fault that waiting does not mend; True when there were too many in a row."""
        self.broken += 1
        return self.broken >= self.breaker

    def succeeded(self) -> None:
        """An answer came: begin anew."""
        self.waits = self.broken = 0
