"""Markdown as lines: Rich lays it out, its styles become roles, and sources have ours.

Links show their text, HTML its source, its comments nothing; nothing is interpreted. Pure
functions.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, TableElement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from avo_tui.ui.syntax import Highlighted
from avo_tui.ui.text import BLANK, Line, clean_lines, line

Highlight = Callable[[str, str], Highlighted]
_FILES = {"cpp": "x.cpp", "c++": "x.cpp", "cuda": "x.cu", "cu": "x.cu", "c": "x.c", "ptx": "x.ptx"}
_FILES |= {"python": "x.py", "toml": "x.toml", "json": "x.json", "sh": "x.sh", "bash": "x.sh"}


def _style(role: str) -> Style:
    """A style that says nothing but a role."""
    return Style(meta={"role": role})


_ROLES = {"strong": "strong", "code": "sx-string", "hr": "faint", "block_quote": "dim"}
_ROLES |= {"item.bullet": "dim", "item.number": "dim", **{f"h{n}": "title" for n in range(1, 7)}}
_THEME = Theme({f"markdown.{name}": _style(role) for name, role in _ROLES.items()})


class _Title(Heading):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Table(TableElement):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, border_style=_style("faint"))
        for cell in self.header.row.cells if self.header and self.header.row else ():
            cell.content.stylize(_style("strong"))
            table.add_column(cell.content)
        for row in self.body.rows if self.body else ():
            table.add_row(*(cell.content for cell in row.cells))
        yield table


def markdown_lines(text: str, width: int, highlight: Highlight) -> list[Line]:
    """A document in at most `width` cells."""

    class Source(CodeBlock):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            name = _FILES.get(self.lexer_name.lower(), "x.txt")
            for row in highlight(str(self.text).rstrip("\n"), name):
                yield Text.assemble("  ", *((part, _style(role)) for part, role in row))

    class Document(Markdown):
        elements = {  # noqa: RUF012
            **Markdown.elements,
            "heading_open": _Title,
            "fence": Source,
            "code_block": Source,
            "table_open": _Table,
        }

    document = Document("")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    document.parsed = parser.parse("\n".join(_without_comments(clean_lines(text))))
    console = Console(width=max(width, 16), theme=_THEME, color_system=None, force_terminal=True)
    rows = console.render_lines(document, pad=False)
    lines = [line(*((s.text, _role(s.style)) for s in Segment.simplify(row))) for row in rows]
    lines = [row if row.plain.strip() else BLANK for row in lines]
    return [row for before, row in pairwise([BLANK, *lines]) if before != row or row != BLANK]


def _without_comments(rows: list[str]) -> list[str]:
    """Blank rows in place of HTML's comments, such as the marks of examples that are compiled."""
    for token in MarkdownIt("commonmark").parse("\n".join(rows)):
        if token.type == "html_block" and token.map and token.content.lstrip().startswith("<!--"):
            first, end = token.map
            rows[first:end] = [""] * (end - first)
    return rows


def _role(style: Style | None) -> str:
    known: Any = style.meta.get("role", "") if style is not None else ""
    return str(known)
