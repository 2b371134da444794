"""The screen as a text that can be compared and read: its characters, and the style of each.

    avo-dark 80x24
    |characters of each row
    = letters of the styles
    a  #e6e6e6 on #14181f bold
    = runs of each row: a column and the letters of its style
    0a12b40a

Two equal screens give equal texts, on every machine: there are no fonts in them, no names that
are counted up, and nothing that blinks.
"""

from __future__ import annotations

import functools
import string

from rich.style import Style
from textual.screen import ModalScreen

from avo_tui.ui.app import AvoApp

LETTERS = string.ascii_letters


def picture(app: AvoApp, *, whole: bool = True) -> str:
    """What the app shows now; not `whole`: of a dialog only itself."""
    strips = app.screen._compositor.render_strips()
    if isinstance(app.screen, ModalScreen) and not whole:
        x, y, width, height = app.screen.children[0].region
        strips = [strip.crop(x, x + width) for strip in strips[y : y + height]]
    names: dict[str, str] = {}
    texts, runs = [], []
    for strip in strips:
        text, run, column, last = "", "", 0, ""
        for segment in strip:
            name = names.setdefault(_words(segment.style), _letters(len(names)))
            if name != last:
                run += f"{column}{name}"
                last = name
            text += segment.text
            column += segment.cell_length
        texts.append(f"|{text}")
        runs.append(run)
    width, height = app.size
    return "\n".join(
        [
            f"{app.theme} {width}x{height}",
            *texts,
            "= letters of the styles",
            *(f"{letters}  {words}" for words, letters in names.items()),
            "= runs of each row: a column and the letters of its style",
            *runs,
            "",
        ]
    )


@functools.lru_cache(4096)
def _words(style: Style | None) -> str:
    if style is None:
        return "none"
    plain = Style(
        color=style.color,
        bgcolor=style.bgcolor,
        bold=style.bold,
        dim=style.dim,
        italic=style.italic,
        underline=style.underline,
        reverse=style.reverse,
        strike=style.strike,
    )
    return str(plain)


def _letters(number: int) -> str:
    out = ""
    while True:  # ends: the number shrinks
        out = LETTERS[number % len(LETTERS)] + out
        number = number // len(LETTERS) - 1
        if number < 0:
            return out
