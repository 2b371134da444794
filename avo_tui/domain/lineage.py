"""Queries on the tree of versions. Versions are never removed from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import attrgetter

from avo_tui.domain.records import Version


def best(versions: Iterable[Version]) -> Version | None:
    """The best version; None if there are no versions. All parts of the program use this rule.

    Versions that failed an audit are left out, unless all of them failed. The others are compared
    by `better`, in order of their numbers.
    """
    ordered = sorted(versions, key=attrgetter("number"))
    holding = [version for version in ordered if version.holds]
    return reduce(better, holding or ordered) if ordered else None


def better(one: Version, later: Version) -> Version:
    """The better of two versions; the earlier one if they are equal.

    If the gate timed the later version alternately with the other, that measurement decides.
    Otherwise the aggregates are compared; these come from separate runs and are less reliable.
    """
    timed = later.timed_against
    if timed is not None and timed[0] == one.number:
        return later if timed[1] > 0 else one
    return later if later.aggregate > one.aggregate else one


def best_so_far(versions: Iterable[Version]) -> list[Version]:
    """For each version, in order of number, the best version up to and including it.

    Versions that failed an audit later are left out from the start. The aggregate can decrease from
    one entry to the next where alternating timing contradicts the order of the aggregates.
    """
    ordered = sorted(versions, key=attrgetter("number"))
    holding = any(version.holds for version in ordered)
    course: list[Version] = []
    leader: Version | None = None
    for version in ordered:
        if version.holds or not holding:
            leader = version if leader is None else better(leader, version)
        course.append(leader if leader is not None else version)
    return course


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
    """One sentence that says what a rewind did."""
    return f"rewound from v{origin} to v{target}" + (f": {reason}" if reason else "")
