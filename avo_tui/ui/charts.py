"""Charts in cells: the best so far as an area, or several runs as steps. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from rich.cells import cell_len

from avo_tui.ui.text import Line, Span, fit, line, merged

_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Point:
    """A version on the chart, or a rejected candidate."""

    x: float
    y: float
    number: int
    on_line: bool = True
    """True if on the head's line; other points are dimmed."""
    leads: bool = False
    """The best of all versions up to it: the area rises, or falls, to it."""
    tried: bool = False
    """True for a rejected attempt; `number` then does not name a version."""
    star: str = "★"
    """Its sign where it is the best."""


@dataclass(frozen=True, slots=True)
class ChartData:
    """What the chart shows."""

    points: tuple[Point, ...] = ()
    baselines: tuple[tuple[str, float], ...] = ()
    """Baseline → its ratio to the reference baseline, which is 1 itself."""
    marks: tuple[tuple[float, str], ...] = ()
    """x → glyph on the axis: a rewind or an intervention."""
    selected: int | None = None
    labels: tuple[tuple[float, str], ...] = ()
    """x → label below the axis."""
    end: float | None = None
    """Right end of the axis if it is beyond the last point, for example now."""
    begin: float | None = None
    """Left end of the axis if it is not the first point."""
    near: bool = False
    """Whether the range is that of the newer half of the best so far, and may leave zero."""

    def nearest(self, share: float) -> int | None:
        """Number of the version nearest to a position on the axis: 0 is its left end, 1 its
        right."""
        versions = [p for p in self.points if not p.tried]
        if not versions:
            return None
        first = self.begin if self.begin is not None else min(p.x for p in self.points)
        last = max(max(p.x for p in self.points), self.end if self.end is not None else first)
        x = first + share * (last - first)
        return min(versions, key=lambda p: abs(p.x - x)).number


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round values within [low, high], at most `count` of them."""
    if not (high - low > 1e-9 * max(1.0, abs(high)) and count > 0):
        return []
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


LEFT = 6
"""Width in cells of the numbers at the vertical axis."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to cells: `columns` × `rows` of them, x from `first`, y from `low` to `top`."""

    columns: int
    rows: int
    first: float
    span: float
    low: float
    top: float
    tick: float
    """From one tick of the vertical axis to the next; a whole number of rows."""

    @classmethod
    def of(cls, data: ChartData, width: int, height: int) -> Scale:
        """The scale that includes all points, and the baselines that are not far above them."""
        ys = [p.y for p in data.points if p.y > 0]
        near = [b for _, b in data.baselines if b <= 2.6 * max(ys, default=1)]
        # very low values are drawn at the lower edge, so that they do not flatten the others
        firm = [p.y for p in data.points if p.y > 0 and not p.tried]
        highest, lowest = max([*ys, *near], default=1), min(firm, default=0.0)
        if data.near:
            led = [p.y for p in sorted(data.points, key=lambda p: p.x) if p.leads]
            lowest = min(led[len(led) // 2 :], default=lowest)
        flat = lowest < 0.6 * highest or highest < 0.5 or len(ys) < 3
        from_zero = flat and not data.near
        xs = [p.x for p in data.points] + ([] if data.begin is None else [data.begin])
        end = max(max(xs), data.end if data.end is not None else max(xs))
        low = 0.0 if from_zero else lowest - 0.25 * (highest - lowest) - 0.01
        rows, span = height - 1, (end - min(xs)) or 1.0
        least = low + rows * 0.0005  # ticks are two rows apart at least, and say thousandths
        vertical = _round_range(low, max(least, highest * 1.06 if highest > 0 else 1.0), rows)
        return cls(width - LEFT - 1, rows, min(xs), span, *vertical)

    @property
    def axis(self) -> dict[int, str]:
        """Row → the number beside it. A number stands in the row that begins at its value."""
        apart = round(self.tick / (self.top - self.low) * self.rows)
        digits = 1
        while digits < 3 and abs(self.tick * 10**digits - round(self.tick * 10**digits)) > 1e-6:
            digits += 1
        count = (self.rows - 1) // apart + 1
        values = [self.low + i * self.tick for i in range(count)]
        forms = (f".{digits}f", ".0f", ".0e")
        form = next((f for f in forms if len(f"{values[-1]:{f}}") < LEFT), forms[-1])
        return {self.rows - 1 - i * apart: f"{v:{form}}".rjust(LEFT - 1)
                for i, v in enumerate(values)}  # fmt: skip

    def across(self, x: float) -> float:
        """Columns from the middle of the first one to an x; what lies outside is at the edge."""
        share = min(1.0, max(0.0, (x - self.first) / self.span))
        return share * (self.columns - 1)

    def column(self, x: float) -> int:
        """The column of an x."""
        return round(self.across(x))

    def height(self, y: float) -> float:
        """Rows from the bottom up to a y."""
        share = (y - self.low) / (self.top - self.low)
        return min(float(self.rows), max(0.0, share * self.rows))

    def row(self, y: float) -> int:
        """The row that holds a y, 0 at the top."""
        return max(0, self.rows - 1 - int(self.height(y) + 1e-9))


def _round_range(low: float, top: float, rows: int) -> tuple[float, float, float]:
    """(low, top, tick): the smallest range that holds `low` to `top` and has round ticks which are
    equally many rows apart, from its lower end on."""
    ranges: list[tuple[float, float, float, float]] = []
    for apart in range(2, max(3, rows // 2 + 1)):
        least = (top - low) * apart / rows
        power = 10 ** math.floor(math.log10(least))
        for factor in (1, 2, 2.5, 5, 10, 20):
            first = math.floor(low / (factor * power) + 1e-9) * factor * power
            end = first + factor * power * rows / apart
            if factor * power >= least * (1 - 1e-9) and end >= top * (1 - 1e-9):
                ranges.append((end - first, first, end, factor * power))
                break
    return min(ranges)[1:]


def render(data: ChartData, width: int, height: int) -> list[Line]:
    """The chart in `width` × `height` cells: axis at the left, labels in the last row."""
    if not data.points or width < 16 or height < 4:
        return []
    scale = Scale.of(data, width, height)
    ordered = sorted(data.points, key=lambda p: p.x)
    cells = _area(ordered, scale)
    points = _points(data, ordered, scale)
    names_at: dict[int, list[str]] = {}
    for name, value in data.baselines:
        if scale.low <= value <= scale.top:
            names_at.setdefault(scale.row(value), []).append(name)
    for y, names in names_at.items():
        _rule(cells[y], f" {' '.join(names)} ")
    for (y, x), (glyph, role) in points.items():
        under = cells[y][x]
        cells[y][x] = (glyph, f"{role} on-area") if under[1] == "on-area" else (glyph, role)
    _name_above([name for name, value in data.baselines if value > scale.top], cells[0])
    axis = scale.axis
    out = [
        line((axis.get(y, "     "), "dim"), ("┤" if y in axis else "│", "axis"), *merged(row))
        for y, row in enumerate(cells)
    ]
    out.append(_footer(data, LEFT, scale.columns, scale.column))
    return out


def _area(ordered: Sequence[Point], scale: Scale) -> list[list[Span]]:
    """The best so far as an area, in eighths of a row, up to the right end."""
    heights = [0.0] * scale.columns
    for point in ordered:
        if point.leads:
            start = scale.column(point.x)
            heights[start:] = [scale.height(point.y)] * (scale.columns - start)
    cells: list[list[Span]] = []
    for y in range(scale.rows):
        row: list[Span] = []
        for height in heights:
            eighths = round((height - (scale.rows - 1 - y)) * 8)
            if eighths >= 8:
                row.append((" ", "on-area"))
            else:
                row.append((_EIGHTHS[eighths], "area") if eighths > 0 else (" ", ""))
        cells.append(row)
    return cells


def _points(data: ChartData, ordered: Sequence[Point], scale: Scale) -> dict[tuple[int, int], Span]:
    """(row, column) → what is drawn there; of several points the one that matters most."""
    best = max((point.number for point in ordered if point.leads), default=None)
    points: dict[tuple[int, int], tuple[int, Span]] = {}
    for point in ordered:
        row, column = scale.row(point.y), scale.column(point.x)
        glyph = "•" if point.tried else "·"
        rank, drawn = 0, (glyph, "point" if point.on_line else "faint")
        if point.number == data.selected:
            rank, drawn = 3, ("◆", "warn")
        elif point.number == best:
            rank, drawn = 2, (point.star, "best")
        elif point.leads:
            continue
        if (row, column) not in points or points[row, column][0] <= rank:
            points[row, column] = (rank, drawn)
    return {cell: drawn for cell, (_, drawn) in points.items()}


def _name_above(names: Sequence[str], row: list[Span]) -> None:
    """Name the baselines that lie above the chart, in its top row where that is free."""
    if names:
        for offset, letter in enumerate(f" ↑ {' '.join(names)} "[: len(row) - 1], 1):
            if row[offset] == (" ", ""):
                row[offset] = (letter, "baseline")


def _rule(cells: list[Span], label: str) -> None:
    """Draw a baseline as a line across a row, with its name where it hides the least."""
    for x, (text, role) in enumerate(cells):
        if text == " ":
            cells[x] = ("┈", role or "baseline")
    right = max(1, len(cells) - len(label) - 1)
    ways = [
        (start, over) for over in (("baseline",), ("baseline", "on-area")) for start in (right, 1)
    ]
    for start, over in ways:
        covered_cells = cells[start : start + len(label)]
        if all(text == "┈" and role in over for text, role in covered_cells):
            cells[start : start + len(label)] = zip(
                label, (role for _, role in covered_cells), strict=False
            )
            return


def _footer(data: ChartData, left: int, columns: int, column: Callable[[float], int]) -> Line:
    row = [" "] * columns
    roles = [""] * columns
    for x, text in data.labels:
        start = min(max(0, column(x) - len(text) // 2), columns - len(text))
        label_columns = range(max(0, start - 1), min(columns, start + len(text) + 1))
        if all(row[i] == " " for i in label_columns):
            for i, letter in enumerate(text):
                row[start + i], roles[start + i] = letter, "dim"
    for x, glyph in data.marks:  # beside a label that stands in its place
        free = (i for i in range(column(x), columns) if row[i] in {" ", glyph})
        if (column_of := next(free, None)) is not None:
            row[column_of], roles[column_of] = glyph, "mark"
    return line((" " * left, ""), *merged(list(zip(row, roles, strict=True))))


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


@dataclass(frozen=True, slots=True)
class Roofline:
    """What the machine can do, and how near each configuration comes to it. Both axes of its chart
    are logarithmic."""

    points: tuple[tuple[str, float, float], ...]
    """(configuration, operations per byte of its least memory traffic, operations per second)."""
    peak: float
    """Operations per second."""
    bandwidth: float
    """Bytes per second."""

    def limit(self, intensity: float) -> float:
        """The most operations per second at so many operations per byte."""
        return min(self.peak, self.bandwidth * intensity)

    def ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The ends of the horizontal and of the vertical axis, with the ridge in sight."""
        xs = [x for _, x, _ in self.points] + [self.peak / self.bandwidth]
        left, right = min(xs) / 2, max(xs) * 2
        return (left, right), (min(self.limit(left), *(y for *_, y in self.points)) / 2, self.peak)


def log_place(value: float, ends: tuple[float, float]) -> float:
    """Where a value lies on a logarithmic axis: 0 at its lower end, 1 at its upper one."""
    share = math.log(max(value, ends[0]) / ends[0]) / math.log(ends[1] / ends[0])
    return min(1.0, share)


def decades(ends: tuple[float, float]) -> list[float]:
    """The powers of ten within the ends of an axis; their halves and fifths where it is short."""
    low, high = (math.floor(math.log10(end)) for end in ends)
    parts = (1,) if high - low > 1 else (1, 2, 5)
    ticks = [part * 10.0**power for power in range(low, high + 1) for part in parts]
    return [tick for tick in ticks if ends[0] <= tick <= ends[1]]


def _rate(value: float) -> str:
    """Operations per second in the room beside an axis: `100G`."""
    forms = ((1e12, "T"), (1e9, "G"))
    unit = next((f"{value / scale:g}{sign}" for scale, sign in forms if value >= scale), "")
    return unit if 0 < len(unit) < LEFT else f"{value:.0e}"


def roofline_room(data: Roofline, width: int, height: int) -> tuple[int, int]:
    """Columns and rows between the axes; what is below them is the list of the signs."""
    listed = height - 2 - len(data.points) >= 6
    return width - LEFT - 1, height - 1 - listed * (1 + len(data.points))


def roofline_rows(data: Roofline, width: int, height: int) -> list[Line]:
    """The roof, and each configuration below it; where there is room, what the signs are."""
    columns, rows = roofline_room(data, width, height)
    if rows < 3 or columns < 16:
        return []
    across, up = data.ranges()
    cells: list[list[Span]] = [[(" ", "")] * columns for _ in range(rows)]

    def column_of(intensity: float) -> int:
        return round(log_place(intensity, across) * (columns - 1))

    def row_of(rate: float) -> int:
        return rows - 1 - round(log_place(rate, up) * (rows - 1))

    for column in range(columns):
        limit = data.limit(across[0] * (across[1] / across[0]) ** (column / (columns - 1)))
        cells[row_of(limit)][column] = ("·" if limit < data.peak else "─", "baseline")
    for (_, x, y), sign in zip(data.points, cycle(MARKS), strict=False):
        cells[row_of(y)][column_of(x)] = (sign, "curve")
    axis = {row_of(tick): _rate(tick) for tick in decades(up)}
    out = [
        line((axis.get(y, "").rjust(LEFT - 1), "dim"), ("┤" if y in axis else "│", "axis"),
             *merged(row))
        for y, row in enumerate(cells)
    ]  # fmt: skip
    labels = ((across[1], "operations/byte"), *((x, f"{x:g}") for x in decades(across)))
    out.append(_footer(ChartData(labels=labels), LEFT, columns, column_of))
    if rows < height - 1:
        room = max(cell_len(name) for name, *_ in data.points)
        out.append(line(""))
        for (name, x, y), sign in zip(data.points, cycle(MARKS), strict=False):
            part = f"  {y / data.limit(x):.0%} of what is possible at {x:,.4g} operations/byte"
            out.append(line((f"{sign} ", "curve"), fit(name, room), (part, "dim")))
    return out


MARKS = "●▲■◆✚○△□"
"""A different sign for each run, so that runs can be told apart without colour."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One run: (position on the axis, best so far), ascending; the last point is where it ended."""

    name: str
    points: tuple[tuple[float, float], ...]


def draw(curves: Sequence[Curve], width: int, height: int, *, reference: float = 1.0) -> list[str]:
    """The chart as lines of text, axis at the left and below, `reference` as a dotted line.

    A cell that two runs share shows the later one's sign. Empty for no points or too little room.
    """
    points = [p for curve in curves for p in curve.points]
    if not points or width < 18 or height < 5:
        return []
    right = max(x for x, _ in points) or 1.0
    top = max(*(y for _, y in points), reference) * 1.05
    scale = Scale(width - LEFT - 1, height - 2, 0.0, right, *_round_range(0.0, top, height - 2))
    cells = [[" "] * scale.columns for _ in range(scale.rows)]
    cells[scale.row(reference)] = ["┈"] * scale.columns
    for index, curve in enumerate(curves):
        spots = [(scale.column(x), scale.row(y)) for x, y in curve.points]
        for (column, row), (after, _) in zip(spots, [*spots[1:], *spots[-1:]], strict=True):
            cells[row][column + 1 : after] = "─" * max(0, after - column - 1)
            cells[row][column] = MARKS[index % len(MARKS)]
    axis = scale.axis
    out = [
        f"{axis.get(y, ''):>5}{'┤' if y in axis else '│'}{''.join(row)}"
        for y, row in enumerate(cells)
    ]
    out.append(" " * (LEFT - 1) + "└" + "─" * scale.columns)
    whole = all(float(x).is_integer() for x, _ in points)  # half an evaluation is no place
    values = [v for v in ticks(0, right, max(2, scale.columns // 14)) if not whole or v % 1 == 0]
    labels = ChartData(labels=tuple((value, f"{value:g}") for value in values))
    return [*out, _footer(labels, LEFT, scale.columns, scale.column).plain]
