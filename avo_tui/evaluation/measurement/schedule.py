"""Plans the timing rounds: their number and order, and which outputs are judged in full."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The amount of measuring on one configuration."""

    rounds: int = 24
    """Number of rounds that include the candidate, if time allows."""
    fewest: int = 3
    """Smallest number of rounds, for a slow candidate."""
    baseline_rounds: int = 8
    """Smallest number of rounds for the reference baseline."""
    thin: int = 3
    """Other baselines take part in one of this many rounds."""

    def affordable(self, seconds: float, budget: float) -> int:
        """Rounds for a candidate that takes `seconds`, within `budget` seconds of its time."""
        least = self.fewest if seconds < 1 else 2 if seconds < 3 else 1
        return max(least, min(self.rounds, int(budget / max(seconds, 1e-6))))


@dataclass(frozen=True)
class Turn:
    """One timed call of a candidate."""

    kind: int
    """Which of the task's timed distributions its inputs are of."""
    inputs: int
    """Which of the sets of inputs it gets; those of one kind are `kind * per_kind` and on."""
    judged: bool
    """True where its output is compared with the reference itself; the other outputs on the same
    inputs must equal it bit for bit."""


def per_kind(kinds: int) -> int:
    """Sets of inputs for each distribution: two in any case, so that no call is foreseen."""
    return 2 if kinds == 1 else 1


def kinds_of_rounds(rounds: int, kinds: int, pick: random.Random) -> list[int]:
    """The distribution of each round's inputs: each about equally often, in random order."""
    order = [n % kinds for n in range(rounds)]
    pick.shuffle(order)
    return order


def turns(kinds: list[int], each: int, pick: random.Random) -> list[Turn]:
    """Sets of inputs for timed calls of these kinds, and which calls are judged in full.

    There are `each` sets of a kind, used about equally often in random order. Of the turns on a
    set one is drawn to be judged, so that every position is as likely as any other.
    """
    used: dict[int, list[int]] = {}
    for kind in set(kinds):
        own = [kind * each + n % each for n in range(kinds.count(kind))]
        pick.shuffle(own)
        used[kind] = own
    sets = [used[kind].pop() for kind in kinds]
    judged = {pick.choice([n for n, s in enumerate(sets) if s == which]) for which in set(sets)}
    return [
        Turn(kind, which, n in judged)
        for n, (kind, which) in enumerate(zip(kinds, sets, strict=True))
    ]


def paired_orders(rounds: int, pick: random.Random) -> Iterator[tuple[int, int, int, int]]:
    """Who is timed when in each round, 0 or 1: A B B A or B A A B, each as often, drawn at random.

    In both orders a drift that is linear in time cancels.
    """
    halves = [n % 2 for n in range(rounds)]
    pick.shuffle(halves)
    for first in halves:
        yield (first, 1 - first, 1 - first, first)
