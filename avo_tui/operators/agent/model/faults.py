"""The kinds of faults in requests to the model, and how long to wait after each."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from avo_tui.operators.agent.words import clean_text

FaultKind = Literal[
    "rate_limit",  # 429: wait as long as the server asks
    "overloaded",  # 529, or the same error within a stream
    "unavailable",  # 502, 503, 504, 408, 409, 425: a gateway or a server that starts
    "server",  # 500, other errors of the server, a connection that it closed without an answer
    "connection",  # refused, or not made in time
    "host",  # name not found: a misspelt address, unless the endpoint has answered before
    "timeout",  # no data or no progress for too long
    "cut_off",  # the stream ended without a stop event
    "malformed",  # the stream or its JSON is invalid
    "context",  # the conversation is too long for the model
    "rejected",  # 400: the endpoint considers the request invalid
    "auth",  # 401, 403, no credentials
    "billing",  # no credit, a spend limit
    "model",  # 404: no such model
    "endpoint",  # an address that does not speak the Messages API, or redirects elsewhere
]

PASSING: frozenset[FaultKind] = frozenset({"rate_limit", "overloaded", "unavailable", "connection"})
"""Faults that pass by themselves: they never pause the run, however long they last, unless an
answer had begun each time, which is paid for."""
LONGER: dict[FaultKind, int] = {
    "server": 4, "overloaded": 4, "rate_limit": 4, "unavailable": 4, "timeout": 2, "cut_off": 2,
}  # fmt: skip
"""How many times the usual number of faults in a row is borne before the run pauses: a server that
fails for an hour may recover, one that fails longer in the same way has a reason to."""

FOR_THE_PERSON: frozenset[FaultKind] = frozenset({"auth", "billing", "model", "endpoint"})
"""Faults that only the person can fix."""

MOST_OF_A_SENTENCE = 10_000
"""Largest number of characters that are looked at of what a server says of a fault."""

LONGEST_RETRY_AFTER = 24 * 3600.0
"""Longest `retry-after` that is obeyed, in seconds; after that the request is tried again
anyway."""


class Fault(Exception):  # noqa: N818 - a fault of the way to the model, not of the program
    def __init__(self, kind: FaultKind, sentence: str, retry_after: float | None = None) -> None:
        sentence = clean_text(sentence[:MOST_OF_A_SENTENCE])
        super().__init__(sentence)
        self.kind: FaultKind = kind
        self.sentence = sentence
        """What is wrong. It quotes the server, which may repeat a secret in it."""
        self.retry_after = retry_after
        """Seconds to wait, as asked by the server; None if it did not say."""


@dataclass
class Backoff:
    """How long to wait after each consecutive fault, and after how many to stop waiting."""

    first: float
    longest: float
    breaker: int
    chance: random.Random = field(default_factory=random.Random)
    waits: int = 0
    broken: int = 0
    answered: bool = False
    """Whether the endpoint has ever answered."""

    def wait(self, fault: Fault) -> float:
        """Seconds until the next try: as the server asks, else growing up to a limit."""
        grown: float = min(self.longest, self.first * 2.0**self.waits)
        own = grown * self.chance.uniform(0.75, 1.25)
        self.waits = min(self.waits + 1, 30)
        if fault.retry_after is not None:
            return min(LONGEST_RETRY_AFTER, max(fault.retry_after, min(own, 1.0)))
        return own

    def breaks(self, fault: Fault, paid: bool) -> bool:
        """Count a fault; True if there were too many in a row that may never pass.

        `paid`: the answer had begun, so that waiting for a better one costs money each time.
        """
        passes = fault.kind in PASSING or (fault.kind == "host" and self.answered)
        if passes and not paid:
            return False
        self.broken += 1
        return self.broken >= self.breaker * LONGER.get(fault.kind, 1)

    def succeeded(self) -> None:
        self.forgive()
        self.answered = True

    def forgive(self) -> None:
        """Begin to count anew, as after the person resumed the run."""
        self.waits = self.broken = 0
