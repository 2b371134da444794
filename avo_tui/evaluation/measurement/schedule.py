"""Which rounds are timed, in which order, and which timed outputs are judged in full."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How much to measure on one configuration."""

    rounds: int = 24
    """Rounds with the candidate in them, if time allows."""
    fewest: int = 3
    """Rounds even of a candidate that is slow."""
    baseline_rounds: int = 8
    """Rounds that the reference baseline gets in any case."""
    thin: int = 3
    """Baselines that no ratio is taken against join one round in so many."""
    inputs: int = 3
    """Different sets of inputs; each is used in several rounds, and judged in full in one."""

    def affordable(self, seconds: float, budget: float) -> int:
        """Rounds for a candidate that takes `seconds`, within `budget` seconds of its time."""
        least = self.fewest if seconds < 1 else 2 if seconds < 3 else 1
        return max(least, min(self.rounds, int(budget / max(seconds, 1e-6))))


@dataclass(frozen=True)
class Turn:
    """One timed call of a candidate."""

    number: int
    """Of all its turns, from 0."""
    inputs: int
    """Which of the sets of inputs it gets."""
    judged: bool
    """True where its output is compared with the reference itself; the other outputs on the same
    inputs must equal it bit for bit."""


def turns(count: int, inputs: int, pick: random.Random) -> list[Turn]:
    """Sets of inputs for `count` timed calls, and which of them are judged in full.

    Every set is used about equally often, in random order; of the turns on each set one is drawn to
    be judged, so that every position of a round is as likely as any other.
    """
    sets = [n % inputs for n in range(count)]
    pick.shuffle(sets)
    judged = set()
    for which in set(sets):
        judged.add(pick.choice([n for n, used in enumerate(sets) if used == which]))
    return [Turn(n, used, n in judged) for n, used in enumerate(sets)]


def paired_orders(rounds: int, pick: random.Random) -> Iterator[tuple[int, int, int, int]]:
    """Who is timed when in each round, 0 or 1: A B B A or B A A B, each as often, drawn at random.

    In both orders a drift that is linear in time cancels.
    """
    halves = [n % 2 for n in range(rounds)]
    pick.shuffle(halves)
    for first in halves:
        yield (first, 1 - first, 1 - first, first)
