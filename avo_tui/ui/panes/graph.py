"""The lineage as a git-style graph: rows, newest first, the lanes that join them, and a cache."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeVar

from avo_tui.domain import lineage
from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.tables import RecordTable

RowKind = Literal["version", "attempt", "running", "fold", "stall"]
Key = tuple[str, int, int]
"""("v", number, 0), ("a", step, number), ("f", step, 0) for the folded attempts of a step, or
("s", first step, 0) for a stall."""

STALL_STEPS = 4
"""Number of consecutive unsuccessful steps from the same version that share one row (a stall)."""


class Row(NamedTuple):
    """One row of the graph, before lanes."""

    kind: RowKind
    key: Key
    parent: int | None
    step: int
    number: int
    """Number of the version or attempt, or the count of folded attempts."""
    first_step: int = 0
    """First step of a stall; `step` is its last one."""
    steps: int = 1
    """Number of steps in a stall."""


class GraphRow(NamedTuple):
    """A row with its position: the lane of its node and the state of all lanes beside it."""

    row: Row
    lane: int
    lanes: tuple[bool, ...]
    """Lanes that pass this row."""
    merges: tuple[int, ...]
    """Lanes that end at this node."""
    leaf: bool
    """True for a leaf: attached to `lane`, without a lane of its own."""
    dead: frozenset[int]
    """Lanes that carry only branches off the head's line."""


def key_of_version(number: int) -> Key:
    return ("v", number, 0)


def fold_stalls(ordered: list[Row], apart: Collection[int]) -> list[Row]:
    """Combine consecutive unsuccessful steps from one version into a single row (a stall).

    Steps in `apart` keep their rows.
    """
    out: list[Row] = []
    run: list[Row] = []
    for row in ordered:
        lost = row.kind in _LOST and row.step not in apart
        if run and not (lost and row.parent == run[-1].parent):
            out += _stall(run)
            run = []
        (run if lost else out).append(row)
    return out + _stall(run)


_LOST = frozenset({"fold", "attempt"})
"""Kinds of rows that a stall consists of."""


def _stall(run: list[Row]) -> list[Row]:
    """One row for these rows, which are given newest first; the rows themselves if too few."""
    if len(run) < STALL_STEPS:
        return run
    steps = {row.step for row in run}
    if len(steps) < STALL_STEPS:
        return run
    first, last = min(steps), max(steps)
    count = sum(row.number if row.kind == "fold" else 1 for row in run)
    return [Row("stall", ("s", first, 0), run[0].parent, last, count, first, len(steps))]


def rows_of_step(
    step: int,
    made: Sequence[Version],
    tried: Sequence[Attempt],
    unfolded: bool,
    live: bool,
) -> list[Row]:
    """The rows of one step, newest first; running attempts before all others."""
    running: list[Attempt] = []
    lost: list[Attempt] = []
    newest = max((attempt.number for attempt in tried), default=0) if live else 0
    for attempt in tried:
        if attempt.version is not None:
            continue
        if live and (attempt.verdict is None or (attempt.number == newest and attempt.undecided)):
            running.append(attempt)
        else:
            lost.append(attempt)
    # Within a step a version is newer than its leaves; of two versions the later one is first.
    out = [_attempt_row("running", a) for a in _newest_first(running)]
    nodes = sorted(made, key=_by_attempt, reverse=True) if len(made) > 1 else made
    out += [Row("version", ("v", v.number, 0), v.parent, step, v.number) for v in nodes]
    if len(lost) > 1 and not unfolded:
        first = min(lost, key=_number)
        out.append(Row("fold", ("f", step, 0), first.parent, step, len(lost)))
    else:
        out += [_attempt_row("attempt", a) for a in _newest_first(lost)]
    return out


_number = attrgetter("number")
_by_attempt = attrgetter("attempt", "number")


def _newest_first(attempts: list[Attempt]) -> list[Attempt]:
    """Attempts of one step by their numbers, from the last to the first."""
    return sorted(attempts, key=_number, reverse=True) if len(attempts) > 1 else attempts


def _attempt_row(kind: RowKind, attempt: Attempt) -> Row:
    key = ("a", attempt.step, attempt.number)
    return Row(kind, key, attempt.parent, attempt.step, attempt.number)


def parents_last(ordered: list[Row]) -> list[Row]:
    """Move rows that are below their own parent above it; rarely needed, as steps are in order."""
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


Lanes = tuple[tuple[int | None, bool], ...]
"""For each lane: the number of the version further down that it leads to, and whether it is part of
the head's line."""


def line_of(versions: Mapping[int, Version], head: int | None) -> set[int]:
    """Numbers of the versions on the head's line."""
    if head is None or head not in versions:
        return set()
    return {version.number for version in lineage.line(versions, head)}


def draw(ordered: list[Row], versions: Mapping[int, Version], head: int | None) -> list[GraphRow]:
    """A lane for every row."""
    lanes: Lanes = ()
    alive, rows = line_of(versions, head), list[GraphRow]()
    for row in ordered:
        drawn, lanes = _place(row, lanes, versions, alive, head)
        rows.append(drawn)
    return rows


def _place(
    row: Row,
    above: Lanes,
    versions: Mapping[int, Version],
    alive: set[int],
    head: int | None,
) -> tuple[GraphRow, Lanes]:
    """A row placed below the given lanes, and the lanes below it."""
    lanes = [target for target, _ in above]
    carries = [on_line for _, on_line in above]
    node = row.number if row.kind == "version" else None
    if node is None and row.parent is not None and row.parent in lanes:
        return _drawn(row, lanes.index(row.parent), lanes, (), True, carries), above
    waiting = [i for i, target in enumerate(lanes) if target == node] if node is not None else []
    on_line = node in alive if node is not None else head is not None and row.parent == head
    lane = _lane(lanes, waiting, on_line, 1 if alive else 0)
    while lane >= len(lanes):
        lanes.append(None)
        carries.append(False)
    lanes[lane] = row.parent if row.parent in versions else None
    carries[lane] = on_line
    merging = tuple(i for i in waiting if i != lane)
    drawn = _drawn(row, lane, lanes, merging, False, carries)
    for i in merging:
        lanes[i] = None
        carries[i] = False
    while lanes and lanes[-1] is None:
        lanes.pop()
        carries.pop()
    below = tuple(zip(lanes, carries, strict=True))
    return drawn, above if below == above else below


def _lane(lanes: list[int | None], waiting: list[int], on_line: bool, first: int) -> int:
    """The lane of a node: the head's line has lane 0, others one that waits or a free one.

    `first` is the first lane for others: 1 where there is a head's line.
    """
    if on_line:
        return 0
    if waiting:
        return waiting[0]
    free = (i for i in range(first, len(lanes)) if lanes[i] is None)
    return next(free, max(len(lanes), first))


def _drawn(
    row: Row,
    lane: int,
    lanes: list[int | None],
    merges: tuple[int, ...],
    leaf: bool,
    carries: list[bool],
) -> GraphRow:
    shown = _shared(tuple([target is not None or i == lane for i, target in enumerate(lanes)]))
    return GraphRow(row, lane, shown, merges, leaf, _dead(tuple(carries)))


@lru_cache(4096)
def _shared(lanes: tuple[bool, ...]) -> tuple[bool, ...]:
    """The same tuple for all rows with these lanes, since most rows have the same."""
    return lanes


@lru_cache(4096)
def _dead(carries: tuple[bool, ...]) -> frozenset[int]:
    return frozenset(i for i, alive in enumerate(carries) if not alive)


Attempts = Mapping[tuple[int, int], Attempt]
Versions = Mapping[int, Version]


K = TypeVar("K")
V = TypeVar("V")


def _changed(now: Mapping[K, V], before: Mapping[K, V]) -> Iterable[K] | None:
    """Keys of the records that are new or others than before; None where some are gone."""
    if now is before:
        return ()
    edits = now.changed_since(before) if isinstance(now, RecordTable) else None
    if edits is not None:
        return edits
    if before.keys() - now.keys():
        return None
    return [key for key, record in now.items() if before.get(key) is not record]


class GraphLayout:
    """The rows and lanes of one lineage; `update` adapts them to newer records."""

    def __init__(self) -> None:
        self.drawn: list[GraphRow] = []
        self.places: dict[Key, int] = {}
        """Key of each row → its index."""
        self.width = 0
        """Largest number of lanes beside one row."""
        self._given: tuple[Any, ...] = ({}, {}, None, frozenset(), None, frozenset())
        self._made: dict[int, set[int]] = {}
        """Step → the numbers of its versions."""
        self._tried: dict[int, int] = {}
        """Step → the number of its last attempt."""
        self._rows: dict[int, list[Row]] = {}

    def update(
        self,
        versions: Versions,
        attempts: Attempts,
        head: int | None,
        unfolded: frozenset[int] = frozenset(),
        live_step: int | None = None,
        apart: frozenset[int] = frozenset(),
    ) -> bool:
        """Lay out what there is now; returns False if it looks as before.

        Attempts that became versions are left out. The rejected attempts of a step share one row,
        unless the step is in `unfolded`; steps in `apart` are not folded into a stall. Attempts of
        `live_step` without a verdict are `running`, and so is its newest one while it is correct
        and neither committed nor rejected.
        """
        before, self._given = self._given, (versions, attempts, head, unfolded, live_step, apart)
        changed = self._take(versions, attempts, *before[:2])
        changed |= (unfolded ^ before[3]) | ({live_step} ^ {before[4]}) - {None}
        others = [step for step in changed if self._rebuild(step)]
        if not others and (head, unfolded, apart) == (before[2], before[3], before[5]):
            return False
        self.drawn = draw(self._ordered(), versions, head)
        self.width = max((len(row.lanes) for row in self.drawn), default=0)
        self.places = {d.row.key: i for i, d in enumerate(self.drawn)}
        return True

    def _take(
        self, versions: Versions, attempts: Attempts, old: Versions, tried: Attempts
    ) -> set[int]:
        """Steps whose records changed. Records are immutable: another one is another object."""
        fresh_versions, fresh_attempts = _changed(versions, old), _changed(attempts, tried)
        changed: set[int] = set()
        if fresh_versions is None or fresh_attempts is None:  # a replay that jumped back
            changed = set(self._rows)
            self._made, self._tried = {}, {}
            fresh_versions, fresh_attempts = versions, attempts
        for number in fresh_versions:
            step = versions[number].step
            self._made.setdefault(step, set()).add(number)
            changed.add(step)
        for step, number in fresh_attempts:
            self._tried[step] = max(number, self._tried.get(step, 0))
            changed.add(step)
        return changed

    def _rebuild(self, step: int) -> bool:
        """Make the rows of a step anew; True where they are others than before."""
        versions, attempts, _, unfolded, live, _ = self._given
        committed = [versions[number] for number in sorted(self._made.get(step, ()))]
        numbers = range(self._tried.get(step, 0) + 1)
        tried = [a for n in numbers if (a := attempts.get((step, n))) is not None]
        fresh = rows_of_step(step, committed, tried, step in unfolded, step == live)
        if fresh == self._rows.get(step, []):
            return False
        self._rows[step] = fresh
        return True

    def _ordered(self) -> list[Row]:
        _, _, _, unfolded, live, apart = self._given
        running = [row for row in self._rows.get(live, ()) if row.kind == "running"]
        steps = chain.from_iterable(self._rows[step] for step in sorted(self._rows, reverse=True))
        ordered = [*running, *(row for row in steps if row.kind != "running")]
        return fold_stalls(parents_last(ordered), unfolded | apart)
