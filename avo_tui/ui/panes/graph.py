"""The lineage as a git-style graph: rows, newest first, the lanes that join them, and a cache."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Literal, NamedTuple, TypeVar

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


@dataclass(frozen=True, slots=True)
class Drawing:
    """Rows with their lanes."""

    rows: list[GraphRow] = field(default_factory=list)
    states: list[Lanes] = field(default_factory=list)
    """The lanes above each row."""
    end: Lanes = ()
    """The state of the lanes below the last row."""
    head: int | None = None
    width: int = 0
    """Largest number of lanes beside one row."""


def line_of(versions: Mapping[int, Version], head: int | None) -> set[int]:
    """Numbers of the versions on the head's line."""
    if head is None or head not in versions:
        return set()
    return {version.number for version in lineage.line(versions, head)}


def draw_on(
    old: Drawing, ordered: list[Row], versions: Mapping[int, Version], head: int | None
) -> Drawing:
    """Assign a lane to every row; rows whose surrounding lanes are the same are taken from `old`.

    `old` was made from earlier versions of the same lineage.
    """
    alive = line_of(versions, head)
    grown = head is not None and head in versions and versions[head].parent == old.head
    same_head = head == old.head
    kept = _same(old.rows, ordered) if same_head else 0
    rest = _same(reversed(old.rows), reversed(ordered)) if same_head or grown else 0
    rest = min(rest, len(ordered) - kept, len(old.rows) - kept)
    rows, states = old.rows[:kept], old.states[:kept]
    lanes = old.states[kept] if kept < len(old.states) else old.end
    # A row that ends at the head looks different when the head moves, so it is not reused before.
    passed = same_head
    for position in range(kept, len(ordered)):
        row = ordered[position]
        before = position - len(ordered) + len(old.rows)
        if passed and position >= len(ordered) - rest and old.states[before] == lanes:
            rows += old.rows[before:]
            states += old.states[before:]
            lanes = old.end
            break
        states.append(lanes)
        placed = _place_on_one_lane(row, lanes, versions, alive) if len(lanes) == 1 else None
        drawn, lanes = placed or _place(row, lanes, versions, alive, head)
        rows.append(drawn)
        passed = passed or (row.kind == "version" and row.number == old.head)
    return Drawing(rows, states, lanes, head, max((len(d.lanes) for d in rows), default=0))


def _same(old: Iterable[GraphRow], new: Iterable[Row]) -> int:
    """Number of rows at the beginning that are the same."""
    count = 0
    for before, after in zip(old, new, strict=False):
        if before.row is not after and before.row != after:
            break
        count += 1
    return count


_ONE = (True,)
_ALIVE: frozenset[int] = frozenset()
_DEAD = frozenset({0})


def _place_on_one_lane(
    row: Row, above: Lanes, versions: Mapping[int, Version], alive: set[int]
) -> tuple[GraphRow, Lanes] | None:
    """The same as `_place` for a row that continues the only lane there is, which nearly all rows
    of a long lineage do; None for any other."""
    target, on_line = above[0]
    if row.kind != "version":
        if row.parent != target or target is None:
            return None
        return GraphRow(row, 0, _ONE, (), True, _ALIVE if on_line else _DEAD), above
    if row.number != target:
        return None
    on_line = row.number in alive
    below = ((row.parent, on_line),) if row.parent in versions else ()
    return GraphRow(row, 0, _ONE, (), False, _ALIVE if on_line else _DEAD), below


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
        self._begin()

    def _begin(self) -> None:
        self.drawing = Drawing()
        self.places: dict[Key, int] = {}
        """Key of each row → its index."""
        self._versions: Versions = {}
        self._attempts: Attempts = {}
        self._unfolded: frozenset[int] = frozenset()
        self._apart: frozenset[int] = frozenset()
        self._live: int | None = None
        self._step_of: dict[int, int] = {}
        """Number of each version → its step."""
        self._made: dict[int, list[int]] = {}
        """Step → the numbers of its versions."""
        self._tried: dict[int, int] = {}
        """Step → the number of its last attempt."""
        self._rows: dict[int, list[Row]] = {}
        self._steps: list[int] = []
        """Steps that have rows, ascending."""
        self._late: set[int] = set()
        """Steps with a row that would be below its own parent."""

    @property
    def drawn(self) -> list[GraphRow]:
        return self.drawing.rows

    def update(
        self,
        versions: Versions,
        attempts: Attempts,
        head: int | None,
        unfolded: frozenset[int] = frozenset(),
        live_step: int | None = None,
        apart: frozenset[int] = frozenset(),
    ) -> bool:
        """Lay out what changed since the last call; returns False if nothing did.

        Attempts that became versions are left out. The rejected attempts of a step share one row,
        unless the step is in `unfolded`; steps in `apart` are not folded into a stall. Attempts of
        `live_step` without a verdict are `running`, and so is its newest one while it is correct
        and neither committed nor rejected.
        """
        before = (self._unfolded, self._live, self._apart)
        had_rows = bool(self.drawing.rows)
        changed = self._take(versions, attempts) | (unfolded ^ self._unfolded)
        if live_step != self._live:
            changed |= {s for s in (live_step, self._live) if s is not None}
        self._unfolded, self._live, self._apart = unfolded, live_step, apart
        others = [step for step in sorted(changed) if self._rebuild(step)]
        # a step with a single attempt has the same row where it is unfolded, but leaves its stall
        refolded = (unfolded, apart) != (before[0], before[2])
        reset = had_rows and not self.drawing.rows
        if not (others or refolded or reset) and head == self.drawing.head:
            return False
        self.drawing = draw_on(self.drawing, self._ordered(), versions, head)
        self.places = {d.row.key: i for i, d in enumerate(self.drawing.rows)}
        return True

    def _take(self, versions: Versions, attempts: Attempts) -> set[int]:
        """Steps whose records changed. Records are immutable: another one is another object."""
        if versions is self._versions and attempts is self._attempts:
            return set()
        fresh_versions = _changed(versions, self._versions)
        fresh_attempts = _changed(attempts, self._attempts)
        if not self._steps or fresh_versions is None or fresh_attempts is None:
            self._begin()  # a session that was reloaded, or a replay that jumped back
            fresh_versions, fresh_attempts = versions, attempts
        self._versions, self._attempts = versions, attempts
        changed: set[int] = set()
        for number in fresh_versions:
            step = self._step_of[number] = versions[number].step
            numbers = self._made.setdefault(step, [])
            if number not in numbers:
                numbers.append(number)
            changed.add(step)
        for step, number in fresh_attempts:
            self._tried[step] = max(number, self._tried.get(step, 0))
            changed.add(step)
        return changed

    def _rebuild(self, step: int) -> bool:
        """Make the rows of a step anew; True where they are others than before."""
        versions = [self._versions[number] for number in self._made.get(step, ())]
        numbers = range(self._tried.get(step, 0) + 1)
        tried = [a for n in numbers if (a := self._attempts.get((step, n))) is not None]
        fresh = rows_of_step(step, versions, tried, step in self._unfolded, step == self._live)
        old = self._rows.get(step)
        if fresh == (old or []):
            return False
        self._rows[step] = fresh
        if old is None:
            insort(self._steps, step)
        if self._is_late(step, fresh):
            self._late.add(step)
        else:
            self._late.discard(step)
        return True

    def _is_late(self, step: int, fresh: list[Row]) -> bool:
        above: list[int] = []
        for row in fresh:
            parent_step = self._step_of.get(row.parent) if row.parent is not None else None
            if parent_step is None or row.kind == "running":
                continue
            if parent_step > step or row.parent in above:
                return True
            if row.kind == "version":
                above.append(row.number)
        return False

    def _ordered(self) -> list[Row]:
        live = self._rows.get(self._live, []) if self._live is not None else []
        running = [row for row in live if row.kind == "running"]
        steps = chain.from_iterable(self._rows[step] for step in reversed(self._steps))
        if running:
            ordered = [*running, *(row for row in steps if row.kind != "running")]
        else:
            ordered = list(steps)
        ordered = parents_last(ordered) if self._late else ordered
        return fold_stalls(ordered, self._unfolded | self._apart)
