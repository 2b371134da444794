"""A copy of what the terminal shows, so that only cells that differ from it are sent.

Textual sends every cell of a widget that was repainted. Over a slow line most of that is what the
terminal already shows.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

Cell = tuple[str, Style | None]
"""Text and style of a cell; the second cell of a wide character has no text."""
Piece = tuple[int, int, Strip]
"""Column, row and content of a part of a picture."""
GAP = 6
"""Unchanged cells between two changes that cost no more to send than to skip."""


class SentScreen:
    """What the terminal shows, by row, as far as it is known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Cell | None]] = {}
        """Rows as sent; None where the content of a cell is not known."""

    def forget(self) -> None:
        """Nothing is known any more, as after a resize or another program's output."""
        self._rows.clear()

    def changes(self, pieces: Iterable[Piece], console: Console) -> str:
        """The control sequences that turn what is shown into a picture; they count as sent."""
        rows: dict[int, list[Cell | None]] = {}
        for x, y, strip in pieces:
            row = rows.get(y)
            if row is None:
                row = rows[y] = list(self._rows.get(y, ()))
            cells = _cells(strip)
            row.extend([None] * (x + len(cells) - len(row)))
            _forget_halves(row, x, x + len(cells))
            row[x : x + len(cells)] = cells
        out: list[str] = []
        for y, row in rows.items():
            before = self._rows.get(y, [])
            before = before + [None] * (len(row) - len(before))
            for first, end in _runs(before, row):
                out.append(Control.move_to(first, y).segment.text)
                out.append(_strip(row[first:end]).render(console))
            self._rows[y] = row
        return "".join(out)


def _cells(strip: Strip) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        if text.isascii():
            cells.extend([(character, style) for character in text])
            continue
        widths = [cell_len(character) for character in text]
        if 0 in widths or sum(widths) != cell_len(text):  # marks that join to one character
            cells.append((text, style))
            cells.extend([("", style)] * (cell_len(text) - 1))
            continue
        for character, width in zip(text, widths, strict=True):
            cells.append((character, style))
            if width == 2:
                cells.append(("", style))
    return cells


def _forget_halves(row: list[Cell | None], first: int, end: int) -> None:
    """Forget what is left of wide characters that the cells from `first` to `end` cut apart."""
    start = first
    while 0 < start < len(row) and _is_second(row[start]):
        start -= 1
    row[start:first] = [None] * (first - start)
    while end < len(row) and _is_second(row[end]):
        row[end] = None
        end += 1


def _runs(before: list[Cell | None], after: list[Cell | None]) -> list[tuple[int, int]]:
    """First and end column of each run of cells that must be sent."""
    runs: list[tuple[int, int]] = []
    for x, cell in enumerate(after):
        if cell is None or cell == before[x]:
            continue
        first, end = x, x + 1
        # half of a wide character cannot be sent, and overwriting one half erases the other
        while first > 0 and (_is_second(after[first]) or _is_second(before[first])):
            first -= 1
        while end < len(after) and (_is_second(after[end]) or _is_second(before[end])):
            end += 1
        if runs and first - runs[-1][1] <= GAP and None not in after[runs[-1][1] : first]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((first, end))
    return runs


def _is_second(cell: Cell | None) -> bool:
    """Whether a cell is not the first of its character."""
    return cell is not None and not cell[0]


def _strip(cells: list[Cell | None]) -> Strip:
    """Cells as a strip, with one segment for neighbours of the same style."""
    segments: list[Segment] = []
    texts: list[str] = []
    style: Style | None = None
    for cell in cells:
        text, its = cell or (" ", None)
        if texts and its != style:
            segments.append(Segment("".join(texts), style))
            texts = []
        style = its
        texts.append(text)
    segments.append(Segment("".join(texts), style))
    return Strip(segments)
