"""The score chart in braille: best so far as a line, every version as a point. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avo_tui.ui.text import Line, Span, line

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell by (row, column)."""


@dataclass(frozen=True, slots=True)
class Point:
    """A version on the chart."""

    x: float
    y: float
    number: int
    on_line: bool = True
    """On the head's line; the others are dimmed."""


@dataclass(frozen=True, slots=True)
class ChartData:
    """What the chart shows."""

    points: tuple[Point, ...] = ()
    baselines: tuple[tuple[str, float], ...] = ()
    """Name → its ratio to the reference baseline; the reference is 1."""
    marks: tuple[tuple[float, str], ...] = ()
    """x → glyph on the axis: a rewind or an intervention."""
    selected: int | None = None
    labels: tuple[tuple[float, str], ...] = ()
    """x → label below the axis."""


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round values within [low, high], at most `count` of them."""
    if not (high > low and count > 0):
        return []
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def render(data: ChartData, width: int, height: int) -> list[Line]:
    """The chart in `width` × `height` cells: axis at the left, labels in the last row."""
    if not data.points or width < 16 or height < 4:
        return []
    left = 6
    columns, rows = width - left - 1, height - 1
    ys = [p.y for p in data.points if p.y > 0]
    top_value = max([*ys, *(b for _, b in data.baselines if b <= 1.35 * max(ys, default=1))], default=1)
    low_value = min(ys, default=0.0)
    top = top_value * 1.06 if top_value > 0 else 1.0
    low = 0.0 if low_value < 0.6 * top_value else low_value - 0.25 * (top_value - low_value) - 0.01
    xs = [p.x for p in data.points]
    first, last = min(xs), max(xs)
    span = (last - first) or 1.0

    def column(x: float) -> int:
        return round((x - first) / span * (columns * 2 - 1))

    def dot_row(y: float) -> int:
        share = (y - low) / (top - low)
        return min(rows * 4 - 1, max(0, round((1 - share) * (rows * 4 - 1))))

    curve = [[0] * columns for _ in range(rows)]

    def plot(x: int, y: int) -> None:
        if 0 <= x < columns * 2 and 0 <= y < rows * 4:
            curve[y // 4][x // 2] |= _DOTS[y % 4][x % 2]

    best, before = 0.0, None
    for point in sorted(data.points, key=lambda p: p.x):
        at = column(point.x)
        if point.y > best:
            best = point.y
        here = dot_row(best)
        if before is not None:
            for x in range(before[0], at + 1):
                plot(x, before[1])
            for y in range(min(before[1], here), max(before[1], here) + 1):
                plot(at, y)
        else:
            plot(at, here)
        before = (at, here)
    if before is not None:
        for x in range(before[0], columns * 2):
            plot(x, before[1])

    cells: list[list[Span]] = [
        [(chr(0x2800 + bits), "curve") if bits else (" ", "") for bits in row] for row in curve
    ]
    shown_best = 0.0
    points: dict[tuple[int, int], tuple[int, Span]] = {}
    for point in sorted(data.points, key=lambda p: p.x):
        improves = point.y > shown_best
        shown_best = max(shown_best, point.y)
        place = (dot_row(point.y) // 4, min(columns - 1, column(point.x) // 2))
        rank, drawn = 0, ("·", "point" if point.on_line else "faint")
        if point.number == data.selected:
            rank, drawn = 3, ("◆", "warn")
        elif point.y >= best and improves:
            rank, drawn = 2, ("★", "best")
        elif improves and len(data.points) <= columns // 3:
            rank, drawn = 1, ("•", "curve")
        elif improves:
            continue
        if place not in points or points[place][0] <= rank:
            points[place] = (rank, drawn)
    lines_at: dict[int, list[str]] = {}
    for name, value in data.baselines:
        if low <= value <= top:
            lines_at.setdefault(dot_row(value) // 4, []).append(name)
    for y, names in lines_at.items():
        label = " " + " ".join(names) + " "
        for x in range(columns):
            if cells[y][x][0] == " ":
                cells[y][x] = ("┈", "baseline")
        start = max(1, columns - len(label) - 1)
        free = all(cells[y][x][0] == "┈" for x in range(start, min(columns, start + len(label))))
        if not free:
            start = 1
        for offset, letter in enumerate(label):
            if start + offset < columns and cells[y][start + offset][0] == "┈":
                cells[y][start + offset] = (letter, "baseline")
    for (y, x), (_, drawn) in points.items():
        cells[y][x] = drawn

    axis = _axis(low, top, rows, dot_row)
    out = [
        line((axis.get(y, "     "), "dim"), ("┤" if y in axis else "│", "axis"), *_joined(row))
        for y, row in enumerate(cells)
    ]
    out.append(_footer(data, left, columns, lambda x: min(columns - 1, column(x) // 2)))
    return out


def _axis(low: float, top: float, rows: int, dot_row: object) -> dict[int, str]:
    assert callable(dot_row)
    values = ticks(low, top, max(2, rows // 2))
    digits = 2 if len(values) > 1 and values[1] - values[0] < 0.1 - 1e-9 else 1
    if len(values) > 1 and values[1] - values[0] < 0.01 - 1e-9:
        digits = 3
    return {dot_row(value) // 4: f"{value:.{digits}f}".rjust(5) for value in values}


def _footer(data: ChartData, left: int, columns: int, column: object) -> Line:
    assert callable(column)
    row = [" "] * columns
    roles = [""] * columns
    end = -1
    for x, text in data.labels:
        start = min(max(0, column(x) - len(text) // 2), columns - len(text))
        if start > end + 1 or end < 0:
            for i, letter in enumerate(text):
                if 0 <= start + i < columns:
                    row[start + i], roles[start + i] = letter, "dim"
            end = start + len(text)
    for x, glyph in data.marks:
        at = column(x)
        row[at], roles[at] = glyph, "mark"
    return line((" " * left, ""), *_joined(list(zip(row, roles, strict=True))))


def _joined(cells: Sequence[Span]) -> list[Span]:
    out: list[Span] = []
    for text, role in cells:
        if out and out[-1][1] == role:
            out[-1] = (out[-1][0] + text, role)
        else:
            out.append((text, role))
    return out


def version_labels(numbers: Mapping[int, float], room: int) -> tuple[tuple[float, str], ...]:
    """Labels for versions at round numbers: number → x, as many as `room` cells hold."""
    if not numbers:
        return ()
    low, high = min(numbers), max(numbers)
    fits = max(2, room // 10)
    chosen = {low, high}
    for value in ticks(low, high, fits):
        if int(value) in numbers:
            chosen.add(int(value))
    gap = (high - low) / max(1, fits * 1.4)
    kept = [n for n in sorted(chosen) if n in (low, high) or (n - low > gap and high - n > gap)]
    return tuple((numbers[n], f"v{n}") for n in kept)
