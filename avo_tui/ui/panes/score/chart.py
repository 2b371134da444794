"""The score chart: best so far as an area in eighths of a row, every version a point. Pure.

Block elements, not braille: they are in every terminal's font, the Linux console's included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from avo_tui.ui.text import Line, Span, line

_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Point:
    """A version on the chart."""

    x: float
    y: float
    number: int
    on_line: bool = True
    """On the head's line; the others are dimmed."""
    leads: bool = False
    """The best of all versions up to it: the area rises, or falls, to it."""


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
    if not (high - low > 1e-9 * max(1.0, abs(high)) and count > 0):
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
    top_value = max(
        [*ys, *(b for _, b in data.baselines if b <= 2.6 * max(ys, default=1))], default=1
    )
    low_value = min(ys, default=0.0)
    top = top_value * 1.06 if top_value > 0 else 1.0
    low = (
        0.0
        if low_value < 0.6 * top_value or top_value < 0.5 or len(ys) < 3
        else low_value - 0.25 * (top_value - low_value) - 0.01
    )
    xs = [p.x for p in data.points]
    first, last = min(xs), max(xs)
    span = (last - first) or 1.0

    def column(x: float) -> int:
        return round((x - first) / span * (columns - 1))

    def height_of(y: float) -> float:
        return min(float(rows), max(0.0, (y - low) / (top - low) * rows))

    def cell_row(y: float) -> int:
        return min(rows - 1, max(0, rows - 1 - int(height_of(y) - 1e-9)))

    ordered = sorted(data.points, key=lambda p: p.x)
    best = max((point.number for point in ordered if point.leads), default=None)
    heights = [0.0] * columns
    for point in ordered:
        if point.leads:
            for x in range(column(point.x), columns):
                heights[x] = height_of(point.y)
    cells: list[list[Span]] = []
    for y in range(rows):
        row: list[Span] = []
        for x in range(columns):
            eighths = round((heights[x] - (rows - 1 - y)) * 8)
            if eighths >= 8:
                row.append((" ", "on-area"))
            elif eighths > 0:
                row.append((_EIGHTHS[eighths], "area"))
            else:
                row.append((" ", ""))
        cells.append(row)
    points: dict[tuple[int, int], tuple[int, Span]] = {}
    for point in ordered:
        place = (cell_row(point.y), column(point.x))
        rank, drawn = 0, ("·", "point" if point.on_line else "faint")
        if point.number == data.selected:
            rank, drawn = 3, ("◆", "warn")
        elif point.number == best:
            rank, drawn = 2, ("★", "best")
            if place[0] > 0 and cells[place[0]][place[1]][1]:
                place = (place[0] - 1, place[1])
        elif point.leads:
            continue
        if place not in points or points[place][0] <= rank:
            points[place] = (rank, drawn)
    lines_at: dict[int, list[str]] = {}
    for name, value in data.baselines:
        if low <= value <= top:
            lines_at.setdefault(cell_row(value), []).append(name)
    for y, names in lines_at.items():
        _rule(cells[y], f" {' '.join(names)} ")
    for (y, x), (_, (glyph, role)) in points.items():
        under = cells[y][x]
        cells[y][x] = (glyph, f"{role} on-area") if under[1] == "on-area" else (glyph, role)

    above = [name for name, value in data.baselines if value > top]
    if above:
        note = f" ↑ {' '.join(above)} "
        start = 1
        for offset, letter in enumerate(note[: columns - 1]):
            if cells[0][start + offset] == (" ", ""):
                cells[0][start + offset] = (letter, "baseline")
    axis = _axis(low, top, rows, cell_row)
    out = [
        line((axis.get(y, "     "), "dim"), ("┤" if y in axis else "│", "axis"), *_joined(row))
        for y, row in enumerate(cells)
    ]
    out.append(_footer(data, left, columns, column))
    return out


def _rule(cells: list[Span], label: str) -> None:
    """A baseline across a row, the area included; its name where the line is least in the way."""
    for x, (text, role) in enumerate(cells):
        if text == " ":
            cells[x] = ("┈", role or "baseline")
    right = max(1, len(cells) - len(label) - 1)
    ways = [
        (start, over) for over in (("baseline",), ("baseline", "on-area")) for start in (right, 1)
    ]
    for start, over in ways:
        place = cells[start : start + len(label)]
        if all(text == "┈" and role in over for text, role in place):
            cells[start : start + len(label)] = zip(
                label, (role for _, role in place), strict=False
            )
            return


def _axis(low: float, top: float, rows: int, cell_row: Callable[[float], int]) -> dict[int, str]:
    values = ticks(low, top, max(2, rows // 2))
    step = values[1] - values[0] if len(values) > 1 else 0.5
    digits = next((d for d in (1, 2, 3) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 3)
    return {cell_row(value): f"{value:.{digits}f}".rjust(5) for value in values}


def _footer(data: ChartData, left: int, columns: int, column: Callable[[float], int]) -> Line:
    row = [" "] * columns
    roles = [""] * columns
    for x, glyph in data.marks:
        row[column(x)], roles[column(x)] = glyph, "mark"
    for x, text in data.labels:
        start = min(max(0, column(x) - len(text) // 2), columns - len(text))
        place = range(max(0, start - 1), min(columns, start + len(text) + 1))
        if all(row[i] == " " for i in place):
            for i, letter in enumerate(text):
                row[start + i], roles[start + i] = letter, "dim"
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
