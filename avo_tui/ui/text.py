"""Text for the screen: cleaned of control characters, measured in cells, tagged with roles.

Everything a model, a compiler or a file wrote passes through `clean` on its way to the screen. A
`Line` is plain text cut into spans, each with a *role* (`good`, `dim`, `add`, …); colours are
decided by the theme when the line is painted. There is no markup anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

Span = tuple[str, str]
"""(text, role or several roles separated by spaces)."""

_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_TAB = 4
_MARKS = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]{3})"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]+"
)


def _symbol(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code < 0xA0:
        return f"\u2039{code:02x}\u203a"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\u2039{code:04x}\u203a"


def clean(text: str) -> str:
    """One line of untrusted text made safe: control characters become visible symbols.

    Escape becomes ␛, newline ␊, direction overrides and invisible characters ‹202e›; tabs are
    expanded to four columns; more than three stacked combining marks are cut.
    """
    if text.isascii() and text.isprintable():
        return text
    if "\t" in text:
        text = text.expandtabs(_TAB)
    text = _UNSAFE.sub(_symbol, text)
    return text if text.isascii() else _MARKS.sub(r"\1", text)


def clean_lines(text: str) -> list[str]:
    """Untrusted text cut at its newlines (CR LF included), every line cleaned."""
    return [clean(line[:-1] if line.endswith("\r") else line) for line in text.split("\n")]


def one_line(text: str, limit: int = 400) -> str:
    """Untrusted text as one cleaned line: newlines become spaces, runs of blanks one blank."""
    return clean(" ".join(text[: limit * 4].split()))[:limit]


class Line(NamedTuple):
    """A row of the screen."""

    spans: tuple[Span, ...]
    gutter: int = 0
    """Cells at the left that are not copied."""
    fill: str = ""
    """Role painted under the whole row, including its padding."""
    meta: object = None
    """Value that identifies what the row represents, for clicks and the cursor."""

    @property
    def plain(self) -> str:
        return "".join(text for text, _ in self.spans)

    @property
    def width(self) -> int:
        return sum(cell_len(text) for text, _ in self.spans)


BLANK = Line(())


def line(*spans: Span | str, gutter: int = 0, fill: str = "", meta: object = None) -> Line:
    """Build a line; plain strings have no role."""
    pairs = tuple((s, "") if isinstance(s, str) else s for s in spans if s)
    return Line(tuple(s for s in pairs if s[0]), gutter, fill, meta)


def width_of(spans: Iterable[Span]) -> int:
    return sum(cell_len(text) for text, _ in spans)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans, neighbours of the same role as one."""
    groups = groupby(spans, key=itemgetter(1))
    return [("".join(text for text, _ in group), role) for role, group in groups]


def fit(text: str, width: int) -> str:
    """`text` in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    have = cell_len(text)
    if have <= width:
        return text + " " * (width - have)
    return set_cell_size(text, width - 1) + "…" if width > 1 else "…"


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, cut with an ellipsis."""
    return text if cell_len(text) <= width else fit(text, width)


def fit_right(text: str, width: int) -> str:
    """`text` in exactly `width` cells, at the right."""
    have = cell_len(text)
    return " " * (width - have) + text if have <= width else fit(text, width)


def crop(spans: Sequence[Span], width: int) -> tuple[Span, ...]:
    """Spans in at most `width` cells, the last one cut with an ellipsis."""
    if width_of(spans) <= width:
        return tuple(spans)
    out: list[Span] = []
    left = width
    for text, role in spans:
        have = cell_len(text)
        if have < left:
            out.append((text, role))
            left -= have
            continue
        out.append((fit(text + " ", left) if have == left else fit(text, left), role))
        break
    return tuple(out)


def between(left: Sequence[Span], right: Sequence[Span], width: int) -> tuple[Span, ...]:
    """`left` and `right` at the two ends of `width` cells; `right` yields when both do not fit."""
    have_left, have_right = width_of(left), width_of(right)
    if have_left + have_right + 1 > width:
        return crop(left, width)
    return (*left, (" " * (width - have_left - have_right), ""), *right)


def wrap(text: str, width: int, indent: int = 0) -> list[str]:
    """Cleaned prose in lines of at most `width` cells, cut at blanks where there are any."""
    width = max(width, 8)
    out: list[str] = []
    for paragraph in text.split("\n"):
        body = clean(paragraph.rstrip("\r"))
        if cell_len(body) <= width:
            out.append(body)
            continue
        current = ""
        lead = " " * (len(body) - len(body.lstrip()) + indent)
        lead = lead if len(lead) < width // 2 else ""
        for word in re.findall(r"\s*\S+|\s+$", body):
            if current and cell_len(current) + cell_len(word) > width:
                out.append(current)
                current = lead + word.lstrip()
            else:
                current += word
            if cell_len(current) > width:
                *full, current = chop_cells(current, width)
                out.extend(full)
        out.append(current)
    return out


def prose(text: str, width: int, role: str = "", gutter: Span | None = None) -> list[Line]:
    """Wrapped prose as lines, each behind the same gutter."""
    lead = cell_len(gutter[0]) if gutter else 0
    rows = wrap(text, width - lead)
    if gutter is None:
        return [line((row, role)) for row in rows]
    blank = (" " * lead, "")
    return [
        line(gutter if index == 0 else blank, (row, role), gutter=lead)
        for index, row in enumerate(rows)
    ]
