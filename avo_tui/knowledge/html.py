"""HTML to text with headings kept, by the standard library's tolerant parser."""

import re
from html.parser import HTMLParser

from avo_tui.knowledge.model import Parsed, Section
from avo_tui.knowledge.text import clean, divide, heading

_SILENT = frozenset({"script", "style", "noscript", "template", "svg", "nav", "iframe"})
_BLOCK_TAGS = """
p div section article header footer main aside ul ol li table tr dl dt dd blockquote br hr figure
figcaption h1 h2 h3 h4 h5 h6 pre
"""
_BLOCK = frozenset(_BLOCK_TAGS.split())
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLANKS = re.compile(r"\n{3,}")


class _Reader(HTMLParser):
    """Collects (heading level or 0, text) blocks in document order."""

    def __init__(self, silent: frozenset[str]) -> None:
        """`silent`: tags whose content is left out."""
        super().__init__(convert_charrefs=True)
        self._left_out = silent
        self.blocks: list[tuple[int, str]] = []
        self.title = ""
        self._words: list[str] = []
        self._silent: list[str] = []
        self._pre = 0
        self._level = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._left_out:
            self._silent.append(tag)
        elif tag == "title":
            self._in_title = True
        elif tag in _HEADINGS:
            self._flush()
            self._level = int(tag[1])
        elif tag in _BLOCK:
            self._words.append("\n")
        elif tag in ("td", "th"):
            self._words.append(" | ")
        if tag == "pre":
            self._pre += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in self._left_out:
            # An inner tag that was not closed ends with the outer one.
            if tag in self._silent:
                while self._silent.pop() != tag:
                    pass
        elif tag == "title":
            self._in_title = False
        elif tag in _HEADINGS:
            self._flush()
        elif tag in _BLOCK:
            self._words.append("\n")
        if tag == "pre" and self._pre:
            self._pre -= 1

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._silent:
            self._words.append(data if self._pre else re.sub(r"\s+", " ", data))

    def _flush(self) -> None:
        text = "".join(self._words)
        self._words = []
        if text.strip():
            self.blocks.append((self._level, text))
        self._level = 0

    def close(self) -> None:
        super().close()
        self._flush()

    @property
    def unclosed(self) -> frozenset[str]:
        """Tags that hid the page from somewhere to its end, because they were never closed."""
        return frozenset(self._silent)


def _read(text: str) -> _Reader:
    """The blocks of a page. A `<nav>` or `<svg>` that is never closed hides nothing."""
    silent = _SILENT
    while True:
        reader = _Reader(silent)
        reader.feed(text)
        reader.close()
        # scripts and styles are not text for people, however the page ends
        unclosed = reader.unclosed - {"script", "style"}
        if not unclosed:
            return reader
        silent -= unclosed


def parse_html(text: str, name: str) -> Parsed:
    """Text of a page, one section per heading. Scripts, styles and navigation are left out."""
    reader = _read(text)
    out: list[str] = []
    size = 0
    sections: list[Section] = []
    trail: list[tuple[int, str]] = []
    path: tuple[str, ...] = ()
    start = 0
    for level, block in reader.blocks:
        piece = _BLANKS.sub("\n\n", clean(block)).strip() + "\n\n"
        if level:
            if size > start:
                sections.append(Section(path, start, size))
            start = size
            words = heading(piece)
            while trail and trail[-1][0] >= level:
                trail.pop()
            trail.append((level, words))
            path = tuple(word for _, word in trail)
        out.append(piece)
        size += len(piece)
    if size > start:
        sections.append(Section(path, start, size))
    body = "".join(out)
    return Parsed(heading(clean(reader.title)) or name, "prose", body, divide(body, sections))
