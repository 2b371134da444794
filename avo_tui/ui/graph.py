"""The lineage as a git-style graph: rows, newest first, and the lanes that join them. Pure.

Versions are nodes. What did not become a version hangs off its parent as a leaf: the rejected
attempts of a step folded into one row, a running attempt as a row of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from avo_tui.domain.records import Attempt, Version

RowKind = Literal["version", "attempt", "running", "fold"]
Key = tuple[str, int, int]
"""("v", number, 0), ("a", step, number) or ("f", step, 0)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the graph, before lanes."""

    kind: RowKind
    key: Key
    parent: int | None
    step: int
    number: int
    """Version number, attempt number, or the count of folded attempts."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A row with its place: the lane of its node and what every lane shows beside it.

    `prefix` turns it into text.
    """

    row: Row
    lane: int
    lanes: tuple[bool, ...]
    """Lanes that pass this row."""
    merges: tuple[int, ...]
    """Lanes that end here, in this node."""
    leaf: bool
    """Hangs off `lane` without a lane of its own."""
    dead: frozenset[int]
    """Lanes that carry only branches off the head's line."""


def key_of_version(number: int) -> Key:
    """The key of a version's row."""
    return ("v", number, 0)


def rows(
    versions: Mapping[int, Version],
    attempts: Iterable[Attempt],
    unfolded: Collection[int] = (),
    live_step: int | None = None,
) -> list[Row]:
    """All rows, newest first.

    Attempts that became versions are left out. Of a step in `unfolded` each rejected attempt has
    a row; otherwise they share one. Attempts of `live_step` without a verdict are `running`.
    """
    rejected: dict[int, list[Attempt]] = {}
    running: list[Attempt] = []
    for attempt in attempts:
        if attempt.version is not None:
            continue
        if attempt.verdict is None and attempt.step == live_step:
            running.append(attempt)
        else:
            rejected.setdefault(attempt.step, []).append(attempt)
    by_step: dict[int, list[Version]] = {}
    for version in versions.values():
        by_step.setdefault(version.step, []).append(version)

    out: list[Row] = []
    for attempt in sorted(running, key=lambda a: (a.step, a.number), reverse=True):
        key = ("a", attempt.step, attempt.number)
        out.append(Row("running", key, attempt.parent, attempt.step, attempt.number))
    for step in sorted(set(by_step) | set(rejected), reverse=True):
        entries: list[tuple[int, Row]] = [
            (v.attempt, Row("version", key_of_version(v.number), v.parent, step, v.number))
            for v in by_step.get(step, ())
        ]
        lost = rejected.get(step, [])
        if lost and step not in unfolded and len(lost) > 1:
            first = min(lost, key=lambda a: a.number)
            entries.append(
                (first.number, Row("fold", ("f", step, 0), first.parent, step, len(lost)))
            )
        else:
            entries += [
                (a.number, Row("attempt", ("a", step, a.number), a.parent, step, a.number))
                for a in lost
            ]
        # Within a step a version is newer than its leaves; of two versions the later one is first.
        entries.sort(key=lambda e: (e[1].kind == "version", e[0], e[1].number), reverse=True)
        out.extend(row for _, row in entries)
    return _parents_last(out, versions)


def _parents_last(ordered: list[Row], versions: Mapping[int, Version]) -> list[Row]:
    """Move what stands below its own parent above it; steps normally order this by themselves."""
    position = {row.number: i for i, row in enumerate(ordered) if row.kind == "version"}
    late = [
        i
        for i, row in enumerate(ordered)
        if row.parent is not None and position.get(row.parent, len(ordered)) < i
    ]
    if not late:
        return ordered
    moved = set(late)
    before: dict[int, list[Row]] = {}
    for i in late:
        parent = ordered[i].parent
        assert parent is not None
        before.setdefault(parent, []).append(ordered[i])
    out: list[Row] = []

    def put(row: Row) -> None:
        stack = [(row, False)]
        while stack:
            item, opened = stack.pop()
            if opened or item.kind != "version":
                out.append(item)
                continue
            stack.append((item, True))
            stack.extend((child, False) for child in reversed(before.pop(item.number, [])))

    for i, row in enumerate(ordered):
        if i not in moved:
            put(row)
    return out


def draw(ordered: list[Row], versions: Mapping[int, Version], head: int | None) -> list[Drawn]:
    """Give every row its lane. Linear in rows × open lanes."""
    alive: set[int] = set()
    current = head
    while current is not None and current in versions and current not in alive:
        alive.add(current)
        current = versions[current].parent
    lanes: list[int | None] = []
    """What each lane waits for: the number of a version further down."""
    carries: list[bool] = []
    """True where the lane carries the head's line."""
    out: list[Drawn] = []
    for row in ordered:
        node = row.number if row.kind == "version" else None
        waiting = (
            [i for i, target in enumerate(lanes) if target == node] if node is not None else []
        )
        if node is None and row.parent is not None and row.parent in lanes:
            lane = lanes.index(row.parent)
            out.append(_drawn(row, lane, lanes, (), True, carries))
            continue
        if waiting:
            lane, *merging = waiting
        else:
            merging = []
            lane = next((i for i, target in enumerate(lanes) if target is None), len(lanes))
            if lane == len(lanes):
                lanes.append(None)
                carries.append(False)
        on_line = node in alive if node is not None else row.parent == head
        lanes[lane] = row.parent if row.parent in versions else None
        carries[lane] = on_line
        out.append(_drawn(row, lane, lanes, tuple(merging), False, carries))
        for i in merging:
            lanes[i] = None
            carries[i] = False
        while lanes and lanes[-1] is None:
            lanes.pop()
            carries.pop()
    return out


def _drawn(
    row: Row,
    lane: int,
    lanes: list[int | None],
    merges: tuple[int, ...],
    leaf: bool,
    carries: list[bool],
) -> Drawn:
    shown = tuple(target is not None or i == lane for i, target in enumerate(lanes))
    dead = frozenset(i for i, alive in enumerate(carries) if not alive)
    return Drawn(row, lane, shown, merges, leaf, dead)


def prefix(drawn: Drawn, glyph: str, limit: int) -> list[tuple[str, str]]:
    """The lanes of a row as (text, role) spans, two cells per lane, at most `limit` lanes.

    Roles: `lane` on the head's line, `lane-dead` elsewhere, `node` for the glyph.
    """

    def role(i: int) -> str:
        return "lane-dead" if i in drawn.dead else "lane"

    out: list[tuple[str, str]] = []
    last_merge = max(drawn.merges, default=-1)
    for i in range(min(len(drawn.lanes), limit)):
        beyond = i == limit - 1 and len(drawn.lanes) > limit
        if drawn.leaf and i == drawn.lane:
            out += [("├", role(i)), (glyph, "node")]
            continue
        if i == drawn.lane:
            out.append((glyph, "node"))
        elif i in drawn.merges:
            out.append(("╯" if i == last_merge else "┴", role(i)))
        elif drawn.lane < i < last_merge:
            out.append(("┼" if drawn.lanes[i] else "─", role(last_merge)))
        elif drawn.lanes[i]:
            out.append(("┊" if beyond else "│", role(i)))
        else:
            out.append((" ", ""))
        stroke = drawn.lane <= i < last_merge
        out.append(("─" if stroke else " ", role(last_merge) if stroke else ""))
    if drawn.lane >= limit:
        out[-1:] = [(glyph, "node")]
    return out
