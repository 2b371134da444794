"""What hidden cases are drawn by: a secret of the session that asks, or else of this process.

An engine sends the secret of its session with each request, so that all workers draw alike; no
folder that an agent is told of holds it.
"""

from __future__ import annotations

import math
import random
import secrets
from contextvars import ContextVar

_OWN = secrets.token_hex(16)
_SECRET: ContextVar[str] = ContextVar("drawn_by", default=_OWN)


def draw_by(secret: str) -> None:
    """Whatever is drawn from here on in this context follows from the secret; from one of this
    process where it is empty."""
    _SECRET.set(secret or _OWN)


def drawn_by() -> str:
    return _SECRET.get()


def chance_for(what: str) -> random.Random:
    """The same numbers each time for the same secret and the same `what`."""
    return random.Random(f"{_SECRET.get()} {what}")  # noqa: S311  the secret has 128 bits


def evenly(least: int, most: int, chance: random.Random) -> int:
    """A size, spread evenly over orders of magnitude: each limit between the two at which a kernel
    turns wrong is as likely to be crossed as another one that is the same multiple away."""
    return min(most, int(math.exp(chance.uniform(math.log(least), math.log(most + 1)))))
