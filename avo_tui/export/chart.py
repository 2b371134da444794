"""The two drawings of the report page, as inline SVG: the best score, and the lineage."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from avo_tui.domain import lineage
from avo_tui.domain.plain import plain
from avo_tui.domain.records import Version
from avo_tui.domain.state import SessionState

WIDTH, HEIGHT = 920, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 14, 40
STEP, LANE = 26, 24
"""Distance between neighbouring versions and lines in the drawing of the lineage, in SVG units."""


def attempts_until(state: SessionState) -> dict[int, int]:
    """Version → attempts made up to its commit; the chart's horizontal axis."""
    ordinals = {key: count for count, key in enumerate(state.attempts, start=1)}
    attempt_counts: dict[int, int] = {}
    last = 0
    for number in sorted(state.versions):
        version = state.versions[number]
        last = max(last, ordinals.get((version.step, version.attempt), last))
        attempt_counts[number] = last
    return attempt_counts


def score_chart(state: SessionState) -> str:
    """Every version as a point, the best so far as a line, over the attempts made."""
    effort = attempts_until(state)
    numbers = sorted(state.versions)
    values = [state.versions[n].aggregate for n in numbers]
    right = max(len(state.attempts), max(effort.values(), default=0), 1)
    top = max([*values, 1.0]) * 1.08

    def x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * value / right, 1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top), 1)

    baseline = escape(plain(state.session.task.reference_baseline, 40))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Score of each version and the'
        f' best so far, over attempts" class="chart">'
    ]
    for tick in _ticks(top):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>'
            f'<text x="{LEFT - 8}" y="{y(tick) + 4}" class="end">{tick:g}</text>'
        )
    parts.append(
        f'<line class="baseline" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(1)}" y2="{y(1)}"/>'
        f'<text x="{WIDTH - RIGHT}" y="{y(1) - 6}" class="end">{baseline}</text>'
    )
    for tick in _ticks(right, whole=True):
        parts.append(
            f'<text x="{x(tick)}" y="{HEIGHT - BOTTOM + 18}" class="middle">{tick:g}</text>'
        )
    parts.append(f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 6}" class="middle">attempts</text>')
    leader, path = -1, ""
    for number, best in zip(numbers, lineage.best_so_far(state.versions.values()), strict=True):
        x_coordinate = x(effort[number])
        if best.number != leader:
            leader, height = best.number, y(best.aggregate)
            path += f"M{x_coordinate} {height}" if not path else f"H{x_coordinate}V{height}"
    if path:
        parts.append(f'<path class="best" d="{path}H{x(right)}"/>')
    for number, value in zip(numbers, values, strict=True):
        parts.append(
            f'<a href="#v{number}"><circle class="{_kind(state, number)}" cx="{x(effort[number])}"'
            f' cy="{y(value)}" r="4"><title>v{number}: {value:.4f}</title></circle></a>'
        )
    return "".join(parts) + "</svg>"


def _kind(state: SessionState, number: int) -> str:
    best = state.best
    if best is not None and number == best.number:
        return "point top"
    return f"point {state.versions[number].author}"


def _ticks(top: float, whole: bool = False) -> list[float]:
    """At most seven round numbers from 0 to `top`."""
    rough = top / 6
    size = 10 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= rough)
    if whole:
        step = max(1.0, step)
    return [round(step * n, 6) for n in range(int(top / step) + 1)]


def lanes(versions: Mapping[int, Version], head: int | None) -> dict[int, int]:
    """Version → its line in the drawing: 0 for the head's line, the others as they come."""
    lane: dict[int, int] = {}
    current = head
    while current is not None and current in versions:
        lane[current] = 0
        current = versions[current].parent
    busy: dict[int, int] = {}
    for number in sorted(versions):
        if number in lane:
            continue
        parent = versions[number].parent
        inherited = lane.get(parent, 0) if parent is not None else 0
        goes_on = inherited and busy.get(inherited) == parent
        free = inherited if goes_on else len(busy) + 1
        lane[number] = free
        busy[free] = number
    return lane


def lineage_drawing(state: SessionState) -> str:
    """The tree from left to right, the head's line at the top."""
    numbers = sorted(state.versions)
    lane = lanes(state.versions, state.session.head)
    column = {number: index for index, number in enumerate(numbers)}
    width = STEP * len(numbers) + 20
    height = LANE * (max(lane.values(), default=0) + 1) + 26

    def at(number: int) -> tuple[int, int]:
        return 16 + STEP * column[number], 22 + LANE * lane[number]

    parts = [
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img"'
        ' aria-label="The tree of versions" class="tree">'
    ]
    for number in numbers:
        parent = state.versions[number].parent
        if parent is not None and parent in column:
            (x1, y1), (x2, y2) = at(parent), at(number)
            bend = f"V{y2}" if y1 != y2 else ""
            parts.append(f'<path class="edge" d="M{x1} {y1}{bend}H{x2}"/>')
    for number in numbers:
        x, y = at(number)
        title = _title(state, number)
        parts.append(
            f'<a href="#v{number}"><circle class="{_kind(state, number)}" cx="{x}" cy="{y}" r="6">'
            f"<title>{title}</title></circle></a>"
            f'<text x="{x}" y="{y - 10}" class="middle tiny">{number}</text>'
        )
    return "".join(parts) + "</svg>"


def _title(state: SessionState, number: int) -> str:
    version = state.versions[number]
    words: Sequence[str] = (
        f"v{number}",
        f"{version.aggregate:.4f}",
        plain(version.idea or version.summary or version.plan, 120),
    )
    return escape(" · ".join(word for word in words if word))
