"""Images on the terminal: which protocol it speaks, and the sequences that show and remove one.

An image is laid over cells that hold the same chart as text. In kitty's protocol it is a layer of
its own; in iTerm2's and as sixels it is the content of the cells, so writing them erases it.
"""

from __future__ import annotations

import importlib.util
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Protocol = Literal["kitty", "iterm2", "sixel"]
Wanted = Literal["auto", "kitty", "iterm2", "sixel", "cells"]
Size = tuple[int, int]
"""Width and height."""

IDENTITY = 0x61766F
"""Kitty's number of the image and of its place: `avo`."""
QUESTION = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[?2;1;0S\x1b[c"
"""Does it take kitty's images, how large are a cell and the largest sixels in pixels, what is it?
Every terminal answers the last one, and in this order."""
_ANSWER = re.compile(
    r"\x1b_Gi=31;(?P<kitty>[^\x1b]*)\x1b\\|\x1b\[6;(?P<height>\d+);(?P<width>\d+)t"
    r"|\x1b\[\?2;\d;(?P<most>[\d;]*)S|\x1b\[\?(?P<attributes>[\d;]*)c"
)
_BEGUN = re.compile(r"\x1b(?:_G[^\x1b]*\x1b?|\[(?:\?|6(?=;|\Z))[\d;]*)\Z")
"""An answer whose end has not arrived yet; no key is one."""
ANSWER_SECONDS = 0.5
"""How long after the question the terminal is not given back to the shell without an answer."""
SIXEL_COLOURS = 16
"""As many as a VT340 has; charts need no more."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """An image as it should be on the screen, in cells from the upper left corner."""

    x: int
    y: int
    columns: int
    rows: int
    content: Hashable
    """What it shows: two drawings of equal content and size look the same."""
    draw: Callable[[Size], Picture] = field(compare=False)
    """Draws it, for cells of so many pixels."""


def speaks_none(environment: Mapping[str, str]) -> bool:
    """Whether images cannot reach the terminal, or it would show the question as text."""
    term = environment.get("TERM", "")
    multiplexed = "TMUX" in environment or "STY" in environment or term.startswith("screen")
    apple = environment.get("TERM_PROGRAM") == "Apple_Terminal"
    return multiplexed or apple or term.startswith("tmux") or term in {"", "dumb", "linux"}


class Images:
    """The image on the terminal, at most one; a new one takes its place."""

    def __init__(self, wanted: Wanted, environment: Mapping[str, str]) -> None:
        self._wanted, self._environment = wanted, environment
        self.protocol: Protocol | None = None
        """How images are sent; None while that is not known, and where none are."""
        self.cell: Size | None = None
        """Pixels of a cell, as the terminal said."""
        self._most: Size | None = None
        """Pixels of the largest sixels that it takes."""
        self._asked_at: float | None = None
        """When the question was asked that is not answered yet."""
        self._kitty, self._begun = False, ""
        self._shown: tuple[Drawing, Size] | None = None
        self._held = False
        """Whether the terminal holds an image beside its cells."""
        self._encoded: tuple[object, str] = (None, "")
        """(what was drawn last and how large, the sequence that shows it)."""

    def ask(self) -> str:
        """The question to a terminal that was taken just now; empty where no images are wanted."""
        self.forget()
        missing = importlib.util.find_spec("PIL") is None
        if self._wanted == "cells" or missing or speaks_none(self._environment):
            return ""
        self.protocol = None if self._wanted == "auto" else self._wanted
        self._asked_at, self._kitty = monotonic(), False
        return QUESTION

    @property
    def waits(self) -> bool:
        """Whether an answer may still come that would be typed into the shell."""
        return self._asked_at is not None and monotonic() - self._asked_at < ANSWER_SECONDS

    def take(self, text: str) -> str:
        """What the terminal sent, without its answers, from which the protocol is concluded."""
        if self._asked_at is None:
            return text
        text = _ANSWER.sub(self._answered, self._begun + text)
        begun = None if self._asked_at is None else _BEGUN.search(text)
        self._begun = "" if begun is None else begun.group()
        return text.removesuffix(self._begun)

    def _answered(self, answer: re.Match[str]) -> str:
        if answer["kitty"] is not None:
            self._kitty = answer["kitty"] == "OK"
        elif answer["height"] is not None:
            self.cell = int(answer["width"]), int(answer["height"])
        elif answer["most"] is not None:
            width, _, height = answer["most"].partition(";")
            self._most = (int(width), int(height)) if height.isdigit() else None
        else:
            self._asked_at = None
            programs = {self._environment.get(name) for name in ("TERM_PROGRAM", "LC_TERMINAL")}
            if self._wanted != "auto":
                pass
            elif self._kitty:
                self.protocol = "kitty"
            elif programs & {"iTerm.app", "iTerm2", "WezTerm"}:
                self.protocol = "iterm2"
            elif "4" in answer["attributes"].split(";"):
                self.protocol = "sixel"
        return ""

    def forget(self) -> None:
        """The terminal may show anything, as after a resize; the next image is sent in any case."""
        self._shown = None

    def leaves(self, drawing: Drawing | None) -> bool:
        """Whether cells must be written anew because an image in them goes, or is another one."""
        return self.protocol != "kitty" and self._shown is not None and self._shown[0] != drawing

    def show(self, drawing: Drawing | None, cell: Size | None, written: bool) -> str:
        """What turns the image on the terminal into `drawing`; empty where it is shown already.

        `cell` is the size of a cell in pixels; `written` says that cells below it were written.
        """
        cell = cell or self.cell
        if self.protocol is None or cell is None or self._too_large(drawing, cell):
            drawing = None
        wanted = None if drawing is None or cell is None else (drawing, cell)
        lost = written and self.protocol != "kitty"
        if wanted == self._shown and not lost and (wanted is not None or not self._held):
            return ""
        out = self.remove()
        if wanted is not None and self.protocol is not None:
            drawing, cell = wanted
            size = (drawing.columns, drawing.rows)
            basis = (drawing.content, size, cell)
            if self._encoded[0] != basis:
                self._encoded = (basis, ENCODERS[self.protocol](drawing.draw(cell), size))
            # the cursor goes back to where it was
            self._held = self.protocol == "kitty"
            out += f"\x1b7\x1b[{drawing.y + 1};{drawing.x + 1}H{self._encoded[1]}\x1b8"
        self._shown = wanted
        return out

    def _too_large(self, drawing: Drawing | None, cell: Size) -> bool:
        most = self._most if self.protocol == "sixel" else None
        if drawing is None or most is None:
            return False
        return drawing.columns * cell[0] > most[0] or drawing.rows * cell[1] > most[1]

    def remove(self) -> str:
        """What removes the image, where that is not done by writing its cells."""
        held, self._held, self._shown = self._held, False, None
        return f"\x1b_Ga=d,d=I,i={IDENTITY},q=2\x1b\\" if held else ""


def _png(image: Picture) -> bytes:
    data = BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def kitty(image: Picture, size: Size) -> str:
    """A PNG in chunks, placed over so many columns and rows; the cursor stays, nothing answers."""
    data = b64encode(_png(image)).decode()
    keys = f"a=T,f=100,i={IDENTITY},p={IDENTITY},c={size[0]},r={size[1]},C=1,q=2,"
    chunks = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    return "".join(
        f"\x1b_G{'' if index else keys}m={int(index + 1 < len(chunks))};{chunk}\x1b\\"
        for index, chunk in enumerate(chunks)
    )


def iterm2(image: Picture, size: Size) -> str:
    """A PNG as iTerm2's inline image, in so many columns and rows."""
    data = _png(image)
    keys = f"size={len(data)};inline=1;width={size[0]};height={size[1]};preserveAspectRatio=0"
    return f"\x1b]1337;File={keys};doNotMoveCursor=1:{b64encode(data).decode()}\x07"


def sixel(image: Picture, size: Size) -> str:
    """Bands of six rows of pixels: for each colour in them, which of the six have it."""
    import numpy as np  # no terminal but one of sixels needs them
    from PIL import Image

    # The most frequent ones, so that no colour of the theme is lost to shades at edges.
    counted = Counter(zip(*[iter(image.tobytes())] * 3, strict=True)).most_common(SIXEL_COLOURS)
    palette = [value for colour, _ in counted for value in colour]
    table = Image.new("P", (1, 1))
    table.putpalette(palette)
    pixels = np.asarray(image.quantize(palette=table, dither=Image.Dither.NONE))
    out = [f'\x1bP0;1;0q"1;1;{image.width};{image.height}']
    for index in np.unique(pixels).tolist():
        shares = (round(value * 100 / 255) for value in palette[3 * index : 3 * index + 3])
        out.append(f"#{index};2;{';'.join(map(str, shares))}")
    for top in range(0, image.height, 6):
        band = pixels[top : top + 6]
        weights = (1 << np.arange(len(band)))[:, None]
        rows = []
        for index in np.unique(band).tolist():
            bits = ((band == index) * weights).sum(axis=0) + 63
            starts = np.flatnonzero(np.diff(bits, prepend=-1))
            lengths = np.diff(starts, append=len(bits))
            runs = zip(bits[starts].tolist(), lengths.tolist(), strict=True)
            rows.append(f"#{index}" + "".join(
                f"!{length}{chr(code)}" if length > 3 else chr(code) * length
                for code, length in runs
            ))  # fmt: skip
        out.append("$".join(rows) + "-")
    return "".join([*out, "\x1b\\"])


ENCODERS: dict[Protocol, Callable[[Picture, Size], str]] = {
    "kitty": kitty,
    "iterm2": iterm2,
    "sixel": sixel,
}
