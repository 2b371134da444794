"""Draws several runs on one chart, as steps: best score against what was spent. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avo_tui.ui.panes.score.chart import ticks

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
    columns, rows = width - 8, height - 2
    if not points or columns < 10 or rows < 3:
        return []
    right = max(x for x, _ in points) or 1.0
    top = max(*(y for _, y in points), reference) * 1.05
    grid = [[" "] * columns for _ in range(rows)]

    def column(x: float) -> int:
        return min(columns - 1, int(x / right * (columns - 1)))

    def row(y: float) -> int:
        return min(rows - 1, max(0, round((1 - y / top) * (rows - 1))))

    grid[row(reference)] = ["┈"] * columns
    for index, curve in enumerate(curves):
        mark = MARKS[index % len(MARKS)]
        before: tuple[int, int] | None = None
        for x, y in curve.points:
            cell = (column(x), row(y))
            if before is not None:
                for c in range(before[0] + 1, cell[0]):
                    grid[before[1]][c] = "─"
            grid[cell[1]][cell[0]] = mark
            before = cell
    labels = {row(value): f"{value:.2f}" for value in ticks(0, top, max(2, rows // 3))}
    out = [
        f"{labels.get(y, ''):>6} {'┤' if y in labels else '│'}{''.join(cells)}"
        for y, cells in enumerate(grid)
    ]
    out.append(" " * 7 + "└" + "─" * columns)
    scale = [" "] * columns
    whole = all(float(x).is_integer() for x, _ in points)
    for value in ticks(0, right, max(2, columns // 14)):
        if whole and not float(value).is_integer():
            continue  # half an evaluation is no place on the axis
        text = f"{value:g}"
        start = min(columns - len(text), max(0, column(value) - len(text) // 2))
        scale[start : start + len(text)] = text
    out.append(" " * 8 + "".join(scale))
    return out
