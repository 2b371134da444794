"""What the panes of the run screen show: of the live step, of a version, of an attempt. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean

from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.score import Score
from avo_tui.ui import show
from avo_tui.ui.chart import ChartData, Point, version_labels
from avo_tui.ui.feed import Snapshot
from avo_tui.ui.graph import Key
from avo_tui.ui.text import BLANK, Line, Span, line, one_line
from avo_tui.ui.views.output import Outcome


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: the live step (neither set), a version, or an attempt."""

    version: Version | None = None
    attempt: Attempt | None = None

    @property
    def live(self) -> bool:
        """True while the run is followed."""
        return self.version is None and self.attempt is None

    @property
    def name(self) -> str:
        """Such as `v38` or `41.2`."""
        if self.version is not None:
            return f"v{self.version.number}"
        if self.attempt is not None:
            return f"{self.attempt.step}.{self.attempt.number}"
        return "live"

    @property
    def step(self) -> int | None:
        """The step it came from."""
        if self.version is not None:
            return self.version.step
        return None if self.attempt is None else self.attempt.step

    @property
    def parent(self) -> int | None:
        """The version it was made from."""
        if self.version is not None:
            return self.version.parent
        return None if self.attempt is None else self.attempt.parent


def subject_of(snapshot: Snapshot, key: Key | None) -> Subject:
    """What a row of the lineage stands for; an open attempt is the live step."""
    if key is None:
        return Subject()
    kind, first, second = key
    if kind == "v":
        return Subject(version=snapshot.versions.get(first))
    if kind == "f":
        attempt = best_rejected(snapshot, first)
        return Subject(attempt=attempt)
    attempt = snapshot.attempts.get((first, second))
    if attempt is None or attempt == snapshot.open_attempt:
        return Subject()
    return Subject(attempt=attempt)


def best_rejected(snapshot: Snapshot, step: int) -> Attempt | None:
    """The rejected attempt of a step that came furthest."""
    record = snapshot.steps.get(step)
    tried = (
        snapshot.attempts.get((step, n)) for n in range(1, record.attempts + 1 if record else 2)
    )
    found = [a for a in tried if a is not None and a.version is None]
    return max(found, key=lambda a: (a.aggregate, a.number), default=None)


def outcome_of_version(version: Version, parent: Version | None) -> Outcome:
    """A version's outcome from its record alone."""
    return Outcome(
        score=version.score,
        parent=None if parent is None else parent.score,
        parent_name="" if parent is None else f"vs v{parent.number}",
        resources=version.resources,
        decision=version.gate if version.gate.gate != "seed" else None,
        device=version.device,
        version=version.number,
    )


def against(outcome: Outcome, parent: Version | None) -> Outcome:
    """The outcome, compared with a parent."""
    if parent is None:
        return outcome
    return replace(outcome, parent=parent.score, parent_name=f"vs v{parent.number}")


def chart_data(
    snapshot: Snapshot, *, selected: int | None, by_time: bool, configuration: str | None, room: int
) -> ChartData:
    """The chart of a snapshot: the aggregate, or the ratio of one configuration."""
    versions = snapshot.versions
    if not versions:
        return ChartData()
    alive: set[int] = set()
    current = snapshot.session.head
    while current is not None and current in versions and current not in alive:
        alive.add(current)
        current = versions[current].parent
    created = snapshot.session.created
    xs: dict[int, float] = {}
    points: list[Point] = []
    for number in sorted(versions):
        version = versions[number]
        x = (version.created - created).total_seconds() / 3600 if by_time else float(number)
        xs[number] = x
        value = snapshot.aggregates.get(number, 0.0)
        if configuration is not None:
            row = version.score.by_name(configuration)
            value = row.ratio if row is not None else 0.0
        points.append(Point(x, value, number, number in alive))
    points = thin(points, room * 4, selected)
    stamps = [versions[n].created for n in sorted(versions)]
    numbers = sorted(versions)
    marks: list[tuple[float, str]] = []
    for record in snapshot.commands.values():
        if record.kind == "rewind" and record.refused is None:
            at = numbers[max(0, bisect_right(stamps, record.at) - 1)]
            marks.append((xs[at], "↶"))
    for made in snapshot.supervision.values():
        at = numbers[max(0, bisect_right(stamps, made.at) - 1)]
        marks.append((xs[at], "!"))
    return ChartData(
        points=tuple(points),
        baselines=baselines(versions[numbers[-1]].score, configuration),
        marks=tuple(marks),
        selected=selected,
        labels=_hours(xs) if by_time else version_labels(xs, room),
    )


def thin(points: list[Point], most: int, selected: int | None) -> list[Point]:
    """At most about `most` points: of the others, those that matter to the picture are kept."""
    if len(points) <= most:
        return points
    step = len(points) / most
    kept: dict[int, Point] = {}
    best = 0.0
    buckets: dict[int, Point] = {}
    for i, point in enumerate(points):
        if point.y > best:
            best = point.y
            kept[i] = point
        elif point.number == selected:
            kept[i] = point
        buckets[int(i / step)] = point
    merged = {p.number: p for p in (*kept.values(), *buckets.values(), points[0], points[-1])}
    return [merged[n] for n in sorted(merged)]


def baselines(score: Score, configuration: str | None) -> tuple[tuple[str, float], ...]:
    """Baselines as ratios to the reference one, which is 1; of several the geometric mean."""
    reference = score.reference_baseline
    out = [(one_line(reference, 16), 1.0)]
    rows = [c for c in score.configurations if configuration in {None, c.name}]
    for name in rows[0].baselines if rows else ():
        if name == reference:
            continue
        values = [
            c.baselines[name] / c.baselines[reference]
            for c in rows
            if c.baselines.get(name, 0) > 0 and c.baselines.get(reference, 0) > 0
        ]
        if values:
            out.append((one_line(name, 16), geometric_mean(values)))
    return tuple(out)


def _hours(xs: dict[int, float]) -> tuple[tuple[float, str], ...]:
    low, high = min(xs.values()), max(xs.values())
    middle = (low + high) / 2
    return tuple((x, show.clock(x * 3600)) for x in (low, middle, high))


def teach(*rows: str) -> Sequence[Line]:
    """An empty pane that says what will be here."""
    return [BLANK, *(line((row, "dim" if i == 0 else "faint")) for i, row in enumerate(rows))]


def edit_info(added: int, removed: int, name: str) -> list[Span]:
    """The heading of the diff pane."""
    return [(f"{name}  ", "dim"), (f"+{added}", "add-mark"), (f" −{removed}", "del-mark")]
