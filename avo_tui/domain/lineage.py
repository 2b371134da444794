"""Queries on the tree of versions. Versions are never removed from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log1p
from operator import attrgetter

from avo_tui.domain.records import Version


def gains_in_turn(versions: Iterable[Version]) -> dict[int, tuple[int, float]]:
    """Version → (first version of its chain, log gain over that), from what gates measured in turn.

    A chain goes from a version to the one that the gate timed it beside, and on from there. Two
    versions of one chain can be compared though they were never timed beside each other, without
    scores of different runs.
    """
    chains: dict[int, tuple[int, float]] = {}
    for version in sorted(versions, key=attrgetter("number")):
        timed = version.timed_against
        if timed is not None and timed[0] in chains and timed[1] > -1:
            first, gain = chains[timed[0]]
            chains[version.number] = (first, gain + log1p(timed[1]))
        else:
            chains[version.number] = (version.number, 0.0)
    return chains


def best(versions: Iterable[Version]) -> Version | None:
    """The best version; None if there are no versions. All parts of the program use this rule.

    Versions that failed an audit are left out, unless all of them failed.
    """
    course = best_so_far(versions)
    return course[-1] if course else None


def best_so_far(versions: Iterable[Version]) -> list[Version]:
    """For each version, in order of number, the best version up to and including it.

    The later of two is better if it is faster by what gates measured in turn. Only where no chain
    of such measurements joins them do the aggregates decide, which come from separate runs.
    Versions that failed an audit later are left out from the start. The aggregate can decrease from
    one entry to the next where alternating timing contradicts the order of the aggregates.
    """
    ordered = sorted(versions, key=attrgetter("number"))
    chains = gains_in_turn(ordered)
    holding = any(version.holds for version in ordered)
    course: list[Version] = []
    leader: Version | None = None
    for version in ordered:
        if version.holds or not holding:
            leader = version if leader is None else _better(leader, version, chains)
        course.append(leader if leader is not None else version)
    return course


def _better(one: Version, later: Version, chains: Mapping[int, tuple[int, float]]) -> Version:
    (first, gain), (same, further) = chains[one.number], chains[later.number]
    if first == same:
        return later if further > gain else one
    return later if later.aggregate > one.aggregate else one


def line(versions: Mapping[int, Version], number: int) -> list[Version]:
    """The path from `number` up to the root, `number` first. Raises KeyError if it is not there.

    In a damaged lineage, where a parent is missing or is no earlier version, the path ends there.
    """
    path = [versions[number]]
    while (parent := path[-1].parent) is not None:
        if parent not in versions or parent >= path[-1].number:
            break
        path.append(versions[parent])
    return path


def line_best(versions: Mapping[int, Version], number: int) -> Version:
    """The best version on the line of `number`: the one that a gate compares with.

    Versions on a branch that a rewind left are not on the line.
    """
    leader = best(line(versions, number))
    assert leader is not None
    return leader


def children(versions: Iterable[Version]) -> dict[int | None, list[int]]:
    """Parent → numbers of its children, ascending; the root's parent is None."""
    result: dict[int | None, list[int]] = {}
    for version in sorted(versions, key=attrgetter("number")):
        result.setdefault(version.parent, []).append(version.number)
    return result


def abandoned_by(versions: Mapping[int, Version], head: int, target: int) -> list[int]:
    """Numbers of the versions that a rewind to `target` takes off the head's line, newest first."""
    kept = {v.number for v in line(versions, target)}
    return [v.number for v in line(versions, head) if v.number not in kept]


def rewind_text(origin: int, target: int, reason: str) -> str:
    return f"rewound from v{origin} to v{target}" + (f": {reason}" if reason else "")
