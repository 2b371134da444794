"""Formats Markdown as lines: headings, lists, tables and code keep their structure.

Links show their text, pictures their description, HTML its source; nothing is interpreted. Pure
functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.cells import cell_len, chop_cells

from avo_tui.ui.syntax import Highlighted
from avo_tui.ui.text import BLANK, Line, Span, clean, clean_lines, line, merged, width_of

Highlight = Callable[[str, str], Highlighted]
_FILES = {"cpp": "x.cpp", "c++": "x.cpp", "cuda": "x.cu", "cu": "x.cu", "c": "x.c", "ptx": "x.ptx"}
_FILES |= {"python": "x.py", "toml": "x.toml", "json": "x.json", "sh": "x.sh", "bash": "x.sh"}
_NARROWEST = 8
"""Width in cells down to which wide table columns shrink before others do."""
_GAP = 2
_PARTS = re.compile(r"[^ \n]* *\n|[^ \n]+ *| +")


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def markdown_lines(text: str, width: int, highlight: Highlight) -> list[Line]:
    """A document in at most `width` cells; code is not wrapped."""
    return _Writer(max(width, 16), highlight).write(_parser().parse(text))


class _Writer:
    """Converts the tokens of a document in one pass."""

    def __init__(self, width: int, highlight: Highlight) -> None:
        self._width, self._highlight = width, highlight
        self._out: list[Line] = []
        self._lead: list[Span] = []
        """Prefix of each line: one span of indentation or bars per enclosing list or quotation."""
        self._mark: Span | None = None
        """Bullet or number of a list item; used once, in place of the innermost prefix."""
        self._lists: list[int | None] = []
        """For each open list the number of its next item; None for a bulleted list."""
        self._rows: list[list[tuple[Span, ...]]] | None = None

    def write(self, tokens: Sequence[Token]) -> list[Line]:
        role = ""
        for token in tokens:
            kind = token.type
            if kind == "heading_open":
                role = "title"
            elif kind == "heading_close":
                role = ""
            elif kind == "inline":
                self._inline(_spans(token.children or (), role))
            elif kind in {"fence", "code_block"}:
                self._code(token)
            elif kind == "html_block":
                self._blank()
                self._put(((clean(row), "faint"),) for row in token.content.strip().split("\n"))
            elif kind == "hr":
                self._blank()
                self._put([(("─" * self._room, "faint"),)])
            else:
                self._structure(token)
        return self._out

    def _structure(self, token: Token) -> None:
        kind = token.type
        if kind in {"bullet_list_open", "ordered_list_open"}:
            if not self._lists:
                self._blank()
            first = int(token.attrs.get("start", 1))
            self._lists.append(first if kind == "ordered_list_open" else None)
        elif kind in {"bullet_list_close", "ordered_list_close"}:
            self._lists.pop()
        elif kind == "list_item_open":
            self._item()
        elif kind == "blockquote_open":
            self._lead.append(("┃ ", "faint"))
        elif kind in {"list_item_close", "blockquote_close"}:
            self._lead.pop()
            self._mark = None
        elif kind == "table_open":
            self._rows = []
        elif kind == "tr_open" and self._rows is not None:
            self._rows.append([])
        elif kind == "table_close":
            self._table(self._rows or [])
            self._rows = None
        elif (
            kind == "paragraph_open" and self._mark is None and not token.hidden
        ) or kind == "heading_open":
            self._blank()

    def _item(self) -> None:
        number = self._lists[-1]
        mark = "• " if number is None else f"{number}. "
        if number is not None:
            self._lists[-1] = number + 1
        self._lead.append((" " * len(mark), ""))
        self._mark = (mark, "dim")

    @property
    def _room(self) -> int:
        return max(self._width - width_of(self._lead), _NARROWEST)

    def _blank(self) -> None:
        if self._out and self._out[-1] is not BLANK:
            self._out.append(BLANK)

    def _put(self, rows: Iterable[tuple[Span, ...]]) -> None:
        for row in rows:
            lead = list(self._lead)
            if self._mark is not None and lead:
                lead[-1], self._mark = self._mark, None
            self._out.append(line(*lead, *row))

    def _inline(self, spans: list[Span]) -> None:
        if self._rows is not None:
            self._rows[-1].append(tuple((text.replace("\n", " "), role) for text, role in spans))
            return
        if spans and spans[0][1] == "title":
            self._blank()
        self._put(wrap_spans(spans, self._room))

    def _code(self, token: Token) -> None:
        self._blank()
        name = _FILES.get((token.info.split() or [""])[0].lower(), "x.txt")
        body = "\n".join(clean_lines(token.content.rstrip("\n")))
        self._put((("  ", ""), *row) for row in self._highlight(body, name))
        self._out.append(BLANK)

    def _table(self, rows: list[list[tuple[Span, ...]]]) -> None:
        if not rows:
            return
        self._blank()
        columns = max(map(len, rows))
        wanted = [max(width_of(r[c]) if c < len(r) else 0 for r in rows) for c in range(columns)]
        widths = shrink(wanted, self._room - _GAP * (columns - 1))
        for index, row in enumerate(rows):
            cells = [wrap_spans(cell, widths[c]) for c, cell in enumerate(row)]
            for line_index in range(max(map(len, cells), default=0)):
                spans: list[Span] = []
                for c, cell in enumerate(cells):
                    part = cell[line_index] if line_index < len(cell) else ()
                    spans += [(t, f"{r} strong".strip() if index == 0 else r) for t, r in part]
                    spans.append((" " * (widths[c] - width_of(part) + _GAP), ""))
                self._put([tuple(spans)])
            if index == 0:
                rule = (" " * _GAP).join("─" * w for w in widths)
                self._put([((rule, "faint"),)])
        self._out.append(BLANK)


def _spans(children: Sequence[Token], role: str) -> list[Span]:
    """The text of one paragraph, cleaned; a hard break is a newline of its own."""
    out: list[Span] = []
    strong = 0
    for child in children:
        now = f"{role} strong" if strong else role
        if child.type == "strong_open":
            strong += 1
        elif child.type == "strong_close":
            strong -= 1
        elif child.type == "softbreak":
            out.append((" ", role))
        elif child.type == "hardbreak":
            out.append(("\n", role))
        elif child.type == "code_inline":
            out.append((clean(child.content), "sx-string"))
        elif child.content:
            out.append((clean(child.content), now.strip()))
    return out


def shrink(wanted: Sequence[int], room: int) -> list[int]:
    """Column widths that add up to at most `room` cells; the widest columns shrink first.

    No column becomes narrower than `_NARROWEST` or its wanted width, even if there is not enough
    room.
    """
    widths = list(wanted)
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda i: widths[i])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def wrap_spans(spans: Sequence[Span], width: int) -> list[tuple[Span, ...]]:
    """Spans in rows of at most `width` cells, broken at blanks if possible."""
    rows: list[list[Span]] = [[]]
    have = 0
    for word in _words(spans):
        size = cell_len("".join(text for text, _ in word).rstrip(" \n"))
        if have and have + size > width:
            rows.append([])
            have = 0
        for text, role in word:
            for piece in _pieces(text.rstrip("\n"), width, have):
                if have and have + cell_len(piece.rstrip(" ")) > width:
                    rows.append([])
                    have = 0
                rows[-1].append((piece, role))
                have += cell_len(piece)
        if word[-1][0].endswith("\n"):
            rows.append([])
            have = 0
    return [_trimmed(row) for row in rows]


def _pieces(text: str, width: int, have: int) -> list[str]:
    """The parts of a word that is longer than a row."""
    return [text] if cell_len(text.rstrip(" ")) + have <= width else chop_cells(text, width)


def _trimmed(row: list[Span]) -> tuple[Span, ...]:
    while row and not row[-1][0].strip(" "):
        row.pop()
    if row:
        text, role = row[-1]
        row[-1] = (text.rstrip(" "), role)
    return tuple(merged(row))


def _words(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Words with the blanks behind them; a word may have parts in several roles."""
    word: list[Span] = []
    for text, role in spans:
        for part in _PARTS.findall(text):
            word.append((part, role))
            if part[-1] in " \n":
                yield word
                word = []
    if word:
        yield word
