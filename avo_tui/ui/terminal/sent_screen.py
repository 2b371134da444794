"""A copy of what the terminal shows, so that only cells that differ from it are sent.

Textual sends every cell of a widget that was repainted, and all colours anew with each change of
style. Over a slow line most of that is what the terminal already shows. Blanks are erased, not
written: two thirds of a screen are. The first picture erases the whole screen and skips them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from time import monotonic
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.control import Control
from rich.style import Style
from textual.strip import Strip


class Look(NamedTuple):
    """How a cell looks, as parameters of the control sequence SGR; empty is the default."""

    attributes: str = ""
    foreground: str = ""
    background: str = ""


PLAIN = Look()
UNSEEN = {"", "1", "2", "3"}
"""Attributes that a blank does not show: none, bold, dim, italic."""
Cell = tuple[str, Look]
"""Text and look of a cell; the second cell of a wide character has no text."""
Piece = tuple[int, int, Strip]
"""Column, row and content of a part of a picture."""
GAP = 4
"""Unchanged cells between two changes that cost no more to send than to skip."""
ERASED = 9
"""Blanks that cost less to erase and skip than to send."""


class SentScreen:
    """What the terminal shows, by row, as far as it is known.

    `fills` says whether it erases with the background's colour, as nearly all but GNU screen do.
    """

    def __init__(self, *, fills: bool = True) -> None:
        self._fills = fills
        self._rows: dict[int, list[Cell | None]] = {}
        """Rows as sent; None where the content of a cell is not known."""
        self._ground: Cell | None = None
        """What the cells show that nothing was sent to since all was erased; None if not known."""
        self._fresh = False
        self.since = 0.0
        """When the first of what is known was sent, by the monotonic clock."""

    def begin(self) -> None:
        """The terminal was just taken: the next picture erases what stands there."""
        self.forget()
        self._fresh = True

    def forget(self) -> None:
        """Nothing is known any more, as after a resize or another program's output."""
        self._rows.clear()
        self._ground = None

    def changes(self, pieces: Iterable[Piece], console: Console) -> str:
        """The control sequences that turn what is shown into a picture; they count as sent."""
        system = console._color_system or ColorSystem.TRUECOLOR
        new = [(x, y, _cells(strip, system)) for x, y, strip in pieces]
        out: list[str] = []
        look = PLAIN
        if not self._rows:
            self.since = monotonic()
        if self._fresh:
            self._fresh = False
            look = self._erase_all((cell for _, _, cells in new for cell in cells), out)
        rows: dict[int, list[Cell | None]] = {}
        for x, y, cells in new:
            row = rows.get(y)
            if row is None:
                row = rows[y] = list(self._rows.get(y, ()))
            row.extend([self._ground] * (x + len(cells) - len(row)))
            _forget_halves(row, x, x + len(cells))
            row[x : x + len(cells)] = cells
        cursor: tuple[int | None, int] | None = None
        for y, row in rows.items():
            before = self._rows.get(y, [])
            before = before + [self._ground] * (len(row) - len(before))
            for first, end in _runs(before, row):
                out.append(_move(cursor, first, y))
                look = self._send(row[first:end], look, out)
                cursor = (end if _moves_by_cells(row[first:end]) else None, y)
            self._rows[y] = row
        return "".join([*out, "" if look == PLAIN else "\x1b[0m"])

    def _erase_all(self, cells: Iterable[Cell], out: list[str]) -> Look:
        """Erase the screen with the look that most of a picture's blanks have; returns it."""
        blanks = Counter(cell for cell in cells if cell[0] == " " and not cell[1].attributes)
        ground = max(blanks, key=blanks.__getitem__, default=(" ", PLAIN))
        self._ground = ground if self._fills else (" ", PLAIN)
        out.append(_change(PLAIN, self._ground[1]) + "\x1b[2J")
        return self._ground[1]

    def _send(self, cells: list[Cell | None], look: Look, out: list[str]) -> Look:
        """Append what shows the cells; `look` is the terminal's before, the result after that."""
        x = 0
        while x < len(cells):
            text, wanted = cells[x] or (" ", PLAIN)
            end = x + 1
            while text == " " and end < len(cells) and cells[end] == cells[x]:
                end += 1
            if text == " " and wanted.attributes == "" and look.attributes in UNSEEN:
                wanted = look._replace(background=wanted.background)
            out.append(_change(look, wanted))
            look = wanted
            if end - x >= ERASED and (self._fills or not look.background):
                out.append(f"\x1b[{end - x}X")
                out.append(f"\x1b[{end - x}C" if end < len(cells) else "")
            else:
                out.append(text * (end - x))
            x = end
        return look


def _moves_by_cells(cells: list[Cell | None]) -> bool:
    """Whether sending them moves the cursor by their number for sure: blanks at the end may be
    erased, and terminals differ about the widths of some characters."""
    texts = [cell[0] if cell else "" for cell in cells]
    return texts[-1] != " " and all(len(text) == 1 for text in texts)


def _move(at: tuple[int | None, int] | None, x: int, y: int) -> str:
    """What moves the cursor to a cell, in as few bytes as do; `at` is where it is, as far as that
    is known."""
    if at is not None and at[1] == y and at[0] is not None and at[0] < x:
        return f"\x1b[{x - at[0]}C"
    if at is not None and at[1] == y - 1 and x == 0:
        return "\r\n"
    return Control.move_to(x, y).segment.text


def _change(before: Look, after: Look) -> str:
    """The control sequence from one look to another, with as few parameters as do."""
    codes = []
    if before.attributes not in {"", after.attributes}:
        before, codes = PLAIN, ["0"]
    if after.attributes != before.attributes:
        codes.append(after.attributes)
    if after.foreground != before.foreground:
        codes.append(after.foreground or "39")
    if after.background != before.background:
        codes.append(after.background or "49")
    return f"\x1b[{';'.join(codes)}m" if codes else ""


@lru_cache(maxsize=4096)
def _look(style: Style, system: ColorSystem) -> Look:
    def codes(colour: Color | None, foreground: bool) -> str:
        if colour is None or colour.is_default:
            return ""
        return ";".join(colour.downgrade(system).get_ansi_codes(foreground))

    attributes = Strip.render_ansi(style.without_color, system)
    return Look(attributes, codes(style.color, True), codes(style.bgcolor, False))


def _cells(strip: Strip, system: ColorSystem) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        look = PLAIN if style is None else _look(style, system)
        blank = Look("", "", look.background) if look.attributes in UNSEEN else look
        if text.isascii():
            cells.extend([(one, blank if one == " " else look) for one in text])
            continue
        widths = [cell_len(character) for character in text]
        if 0 in widths or sum(widths) != cell_len(text):  # marks that join to one character
            cells.append((text, look))
            cells.extend([("", look)] * (cell_len(text) - 1))
            continue
        for character, width in zip(text, widths, strict=True):
            cells.append((character, blank if character == " " else look))
            if width == 2:
                cells.append(("", look))
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
