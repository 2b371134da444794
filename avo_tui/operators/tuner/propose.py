"""Proposes points by mutation and crossover, ranked by the results of earlier tries."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from avo_tui.domain.tunables import Tunable
from avo_tui.operators.tuner.archive import Archive, Tried

POOL = 48
"""Number of children generated per proposal; the most promising one is measured."""
TRIES = 400
CROSSOVER = 0.25
"""Fraction of children made by crossover once there is another point to cross with."""
SCREEN = 6
"""Largest number of tunables changed by one mutation while several have never been varied."""
NEIGHBOUR = 0.5
"""Factor by which each further step between ordered values is less likely."""
NOVELTY = 1.0
"""Value of trying something new, in units of the typical effect."""
TEMPERATURE = 0.35
"""Randomness of the ranking, in units of the typical effect."""


@dataclass(frozen=True)
class Child:
    """A proposed point and how it was made."""

    point: Mapping[str, str]
    origin: str
    """How the point was made: `mutation`, `pin` or `crossover with v3`."""


@dataclass(frozen=True)
class Space:
    """The search space: the tunables, without those that the person pinned."""

    tunables: Sequence[Tunable]
    pins: Mapping[str, str]

    @cached_property
    def free(self) -> list[Tunable]:
        """Tunables that are not pinned."""
        return [t for t in self.tunables if t.name not in self.pins]

    @cached_property
    def others(self) -> dict[tuple[str, str], tuple[list[str], list[float]]]:
        """For each free tunable and value: the other values, with their probability to come
        next."""
        return {(t.name, c.token): _others(t, c.token) for t in self.free for c in t.choices}

    @property
    def size(self) -> int:
        """Number of points that agree with the pins."""
        return math.prod(len(t.choices) for t in self.free)


def propose(
    base: Mapping[str, str],
    space: Space,
    archive: Archive,
    known: Callable[[Mapping[str, str]], bool],
    rng: random.Random,
    boldness: int = 0,
) -> Child | None:
    """The next point to measure; None if every point was tried.

    `boldness` is added to the number of tunables that a mutation changes.
    """
    start = {**base, **space.pins}
    if start != dict(base) and not known(start):
        return Child(start, "pin")
    elite = archive.elite([t.name for t in space.free])
    screening = sum(not archive.varied(t.name) for t in space.free) > 1
    pool: dict[tuple[tuple[str, str], ...], Child] = {}
    passed_over = {tuple(sorted(start.items()))}
    for tries in range(TRIES):
        if len(pool) >= POOL:
            break
        bold = boldness + tries // 100
        child = _child(start, space, elite, screening, rng, bold)
        key = tuple(sorted(child.point.items()))
        if key in pool or key in passed_over:
            continue
        if known(child.point):
            passed_over.add(key)
        else:
            pool[key] = child
    if not pool:
        return _any_left(start, space, known, rng)
    order = [t.name for t in space.tunables if not t.ordered]
    worth = {
        key: _worth(child, start, archive, order, screening, rng) for key, child in pool.items()
    }
    return pool[max(worth, key=lambda key: worth[key])]


def _child(
    start: Mapping[str, str],
    space: Space,
    elite: Sequence[Tried],
    screening: bool,
    rng: random.Random,
    boldness: int,
) -> Child:
    if len(elite) > 1 and rng.random() < CROSSOVER:
        mate = rng.choices(elite, [1 / (1 + rank) for rank in range(len(elite))])[0]
        return Child(_cross(start, mate, space, rng), f"crossover with {mate.label}")
    return Child(_mutate(start, space, screening, rng, boldness), "mutation")


def _mutate(
    start: Mapping[str, str], space: Space, screening: bool, rng: random.Random, boldness: int
) -> dict[str, str]:
    free = space.free
    if not free:
        return dict(start)
    number = boldness + rng.choices([1, 2, 3], [0.65, 0.25, 0.10])[0]
    if screening:
        # few tunables matter much; changing them in groups finds those in a few measurements
        number = max(number, rng.randint(2, SCREEN))
    point = dict(start)
    for tunable in rng.sample(free, min(number, len(free))):
        values, weights = space.others[tunable.name, point[tunable.name]]
        point[tunable.name] = rng.choices(values, weights)[0]
    return point


def _others(tunable: Tunable, token: str) -> tuple[list[str], list[float]]:
    tokens = [c.token for c in tunable.choices]
    here = tokens.index(token)
    others = [i for i in range(len(tokens)) if i != here]
    if tunable.ordered:
        ranks = sorted(range(len(tokens)), key=lambda i: tunable.choices[i].number or 0.0)
        ranks_of = {index: rank for rank, index in enumerate(ranks)}
        weights = [NEIGHBOUR ** (abs(ranks_of[i] - ranks_of[here]) - 1) for i in others]
    else:
        weights = [1.0] * len(others)
    return [tokens[i] for i in others], weights


def _cross(
    start: Mapping[str, str], mate: Tried, space: Space, rng: random.Random
) -> dict[str, str]:
    point = dict(start)
    for tunable in space.free:
        theirs = mate.point.get(tunable.name)
        if theirs is not None and tunable.find(theirs) is not None and rng.random() < 0.5:
            point[tunable.name] = theirs
    return point


def _worth(
    child: Child,
    start: Mapping[str, str],
    archive: Archive,
    unordered: Sequence[str],
    screening: bool,
    rng: random.Random,
) -> float:
    """Ranking of a child: fitted gain, value of new information and some chance, minus risk.

    While tunables are screened in groups, every rarely tried value adds to it; later only the
    rarest one counts.
    """
    changed = [(n, v) for n, v in child.point.items() if start.get(n) != v]
    gain = archive.predicted(child.point) - archive.predicted(start)
    untold = 0.0
    for name, value in changed:
        # a named value selects another algorithm, so it is tried earlier
        weight = 2.0 if name in unordered else 1.0
        worth = weight / (1 + archive.counts[name, value])
        untold = untold + worth if screening else max(untold, worth)
    chance = -math.log(-math.log(rng.random() * 0.999998 + 1e-6))
    return (
        gain
        + archive.spread * (NOVELTY * untold + TEMPERATURE * chance)
        - archive.risk(child.point) * 4 * archive.spread
    )


def _any_left(
    start: Mapping[str, str],
    space: Space,
    known: Callable[[Mapping[str, str]], bool],
    rng: random.Random,
) -> Child | None:
    """Search systematically for an untried point, after the random search found none."""
    free = space.free
    if not free:
        return None
    limit = min(space.size, 20_000)
    sizes = [len(t.choices) for t in free]
    offset = rng.randrange(space.size)
    for count in range(limit):
        rest = (offset + count) % space.size
        point = dict(start)
        for tunable, size in zip(free, sizes, strict=True):
            rest, index = divmod(rest, size)
            point[tunable.name] = tunable.choices[index].token
        if not known(point):
            return Child(point, "a point not tried yet")
    return None
