"""The charts as images, of the same data and on the same scale as in cells (`charts.py`).

An image holds what is between the axes; the numbers beside and below it stay text in cells. It is
drawn twice as large as it is shown, for smooth edges. Needs Pillow, of the extra `pictures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

from PIL import Image, ImageDraw, ImageFont

from avo_tui.ui.charts import MARKS, ChartData, Roofline, Scale, decades, log_place

Place = tuple[float, float]
Ink = Mapping[str, tuple[int, int, int]]
"""Role → its colour; `ground` is the colour behind everything."""
FINE = 2
CORNERS = {"★": 5, "☆": 5, "▲": 3, "△": 3, "■": 4, "□": 4, "◆": 4}
"""Signs that are polygons; the others are circles, and a cross."""


class Canvas:
    """An image of so many columns and rows, each cell of so many pixels."""

    def __init__(self, room: tuple[int, int], cell: tuple[int, int], ink: Ink) -> None:
        self.ink = ink
        self.cell_width, self.cell_height = (FINE * pixels for pixels in cell)
        size = (room[0] * self.cell_width, room[1] * self.cell_height)
        self.width, self.height = map(float, size)
        self._image = Image.new("RGB", size, ink["ground"])
        self._draw = ImageDraw.Draw(self._image)
        self._stroke = FINE * max(1, round(cell[1] / 14))
        self._font = ImageFont.load_default(self.cell_height * 0.72)

    def place(self, columns: float, rows: float) -> Place:
        """The pixel that is so many columns behind the middle of the first one, and so many rows
        above the lower edge."""
        return (columns + 0.5) * self.cell_width, self.height - rows * self.cell_height

    def line(self, places: Sequence[Place], role: str, *, thin: bool = False) -> None:
        width = FINE if thin else self._stroke
        self._draw.line(places, self.ink[role], width, joint="curve")

    def area(self, places: Sequence[Place], role: str) -> None:
        self._draw.polygon(places, self.ink[role])

    def dashes(self, y: float, role: str) -> None:
        """A broken line from the left edge to the right one."""
        for x in range(0, int(self.width), self.cell_width * 2):
            self._draw.line(((x, y), (x + self.cell_width, y)), self.ink[role], self._stroke)

    def name(self, text: str, x: float, y: float, role: str) -> None:
        """A text above a place, at its left, on a ground of its own so that it can be read."""
        width = self._font.getlength(text)
        pad = self.cell_width / 2
        left, top = max(0.0, x - width - 2 * pad), max(0.0, y - self.cell_height)
        box = (left, top, left + width + 2 * pad, top + self.cell_height - self._stroke)
        self._draw.rectangle(box, self.ink["ground"])
        middle = (left + pad, (box[1] + box[3]) / 2)
        self._draw.text(middle, text, self.ink[role], self._font, anchor="lm")

    def sign(self, sign: str, place: Place, role: str, size: float = 0.45) -> None:
        """A sign, such as `◆`; its radius is `size` of a cell's height."""
        radius = size * self.cell_height
        x, y = place
        x = min(max(x, radius), self.width - radius)
        y = min(max(y, radius), self.height - radius)
        inner, outer = self.ink[role], self.ink["ground"]
        if sign in "○△□☆":
            inner, outer = outer, inner
        if sign in CORNERS:
            star = sign in "★☆"
            count = CORNERS[sign] * (1 + star)
            turn = math.pi / 4 if sign in "■□" else 0.0
            corners = []
            for index in range(count):
                far = radius * (0.42 if star and index % 2 else 1.0)
                angle = turn + 2 * math.pi * index / count
                corners.append((x + far * math.sin(angle), y - far * math.cos(angle)))
            self._draw.polygon(corners, inner, outer, self._stroke)
        elif sign == "✚":
            for dx, dy in ((radius, 0), (0, radius)):
                self._draw.line(((x - dx, y - dy), (x + dx, y + dy)), inner, 2 * self._stroke)
        else:
            box = (x - radius, y - radius, x + radius, y + radius)
            self._draw.ellipse(box, inner, outer if sign in "○" else None, self._stroke)

    def done(self) -> Image.Image:
        return self._image.reduce(FINE)


def chart(data: ChartData, scale: Scale, cell: tuple[int, int], ink: Ink) -> Image.Image:
    """The best so far as an area, versions and attempts as dots, baselines as broken lines."""
    canvas = Canvas((scale.columns, scale.rows), cell, ink)
    for row in scale.axis:
        y = float((row + 1) * canvas.cell_height - FINE)
        canvas.line(((0, y), (canvas.width, y)), "axis", thin=True)
    ordered = sorted(data.points, key=lambda point: point.x)
    places = [canvas.place(scale.across(p.x), scale.height(p.y)) for p in ordered]
    edge: list[Place] = []
    for point, (x, y) in zip(ordered, places, strict=True):
        if point.leads:
            edge += [(x, edge[-1][1]), (x, y)] if edge else [(x, y)]
    if edge:
        edge.append((canvas.width, edge[-1][1]))
        canvas.area([(edge[0][0], canvas.height), *edge, (canvas.width, canvas.height)], "area")
        canvas.line(edge, "curve")
    best = max((point.number for point in ordered if point.leads), default=None)
    named: dict[int, tuple[float, list[str]]] = {}
    for name, value in data.baselines:
        if scale.low <= value <= scale.top:
            y = canvas.height - scale.height(value) * canvas.cell_height
            canvas.dashes(y, "baseline")
            named.setdefault(scale.row(value), (y, []))[1].append(name)
    above = [name for name, value in data.baselines if value > scale.top]
    for point, spot in zip(ordered, places, strict=True):
        if not point.leads and point.number != data.selected:
            inside = edge and any(x <= spot[0] and y < spot[1] for x, y in edge)
            role = "on-area" if inside else "point" if point.on_line else "faint"
            canvas.sign("●", spot, role, 0.2 if point.tried else 0.12)
    for y, names in named.values():
        canvas.name(" ".join(names), canvas.width, y, "baseline")
    if above:
        canvas.name(f"above: {' '.join(above)}", 0, 0, "baseline")
    for point, spot in zip(ordered, places, strict=True):
        if point.number == data.selected:
            canvas.sign("◆", spot, "warn")
        elif point.number == best:
            canvas.sign(point.star, spot, "best", 0.55)
    return canvas.done()


def roofline(data: Roofline, room: tuple[int, int], cell: tuple[int, int], ink: Ink) -> Image.Image:
    """The roof, and each configuration below it by the sign that the list names."""
    canvas = Canvas(room, cell, ink)
    across, up = data.ranges()

    def place(intensity: float, rate: float) -> Place:
        rows = log_place(rate, up) * (room[1] - 1) + 0.5
        return canvas.place(log_place(intensity, across) * (room[0] - 1), rows)

    for tick in decades(up):
        y = place(across[0], tick)[1]
        canvas.line(((0, y), (canvas.width, y)), "axis", thin=True)
    for tick in decades(across):
        x = place(tick, up[0])[0]
        canvas.line(((x, 0), (x, canvas.height)), "axis", thin=True)
    ridge = data.peak / data.bandwidth
    roof = [place(x, data.limit(x)) for x in (across[0], ridge, across[1])]
    canvas.line(roof, "baseline")
    for (_, intensity, rate), sign in zip(data.points, cycle(MARKS), strict=False):
        canvas.sign(sign, place(intensity, rate), "curve")
    return canvas.done()
