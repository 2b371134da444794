"""Turns bytes of unknown origin into clean text, and long text into short sections."""

import re

from avo_tui.knowledge.model import Section

#: Longer sections are cut at paragraphs (characters).
LONG_SECTION = 9000
#: Target length of a piece when a long section is cut (characters).
PIECE = 4500

# Control characters other than tab and newline, terminal escape sequences, and the marks that
# reverse the direction of writing and so make text look different from what it is.
_HOSTILE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"\s+")


def looks_binary(head: bytes) -> bool:
    """True where the first bytes of a file cannot be text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    if b"\x00" in head:
        return True
    controls = sum(byte < 9 or 13 < byte < 32 for byte in head)
    return len(head) > 0 and controls * 20 > len(head)


def decode(data: bytes) -> str:
    """Decode by byte order mark, else as UTF-8, else as Latin-1. Never fails."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return clean(data.decode("utf-16", errors="replace"))
    try:
        return clean(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return clean(data.decode("latin-1"))


def clean(text: str) -> str:
    """Text with newlines as line ends and without control characters and escape sequences."""
    return _HOSTILE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def heading(text: str, limit: int = 160) -> str:
    line = _SPACES.sub(" ", text).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def divide(text: str, sections: list[Section]) -> tuple[Section, ...]:
    """Cut over-long sections at blank lines (else at lines) into numbered parts."""
    result: list[Section] = []
    for section in sections:
        if section.end - section.start <= LONG_SECTION:
            result.append(section)
            continue
        cuts = _cuts(text, section.start, section.end, LONG_SECTION)
        for number, (start, end) in enumerate(cuts, 1):
            path = section.path
            if len(cuts) > 1:
                last = path[-1] if path else ""
                path = (*path[:-1], f"{last} (part {number} of {len(cuts)})".strip())
            result.append(Section(path, start, end, section.symbol))
    return tuple(result)


def _cuts(text: str, start: int, end: int, longest: int) -> list[tuple[int, int]]:
    """(start, end) of pieces, cut at blank lines, else at lines, else at spaces, while more than
    `longest` characters are left."""
    cuts: list[tuple[int, int]] = []
    while end - start > longest:
        low, high = start + PIECE // 2, start + PIECE
        breaks = (text.rfind(mark, low, high) for mark in ("\n\n", "\n", " "))
        cut = next((where + 1 for where in breaks if where >= 0), high)
        cuts.append((start, cut))
        start = cut
    if start < end:
        cuts.append((start, end))
    return cuts


def plain_sections(text: str) -> tuple[Section, ...]:
    """Sections of text without any markup known to us: pieces cut at blank lines."""
    cuts = _cuts(text, 0, len(text), PIECE)
    return tuple(Section((_first_line(text, start, end),), start, end) for start, end in cuts)


def _first_line(text: str, start: int, end: int) -> str:
    for line in text[start : min(end, start + 2000)].split("\n"):
        if any(character.isalnum() for character in line):
            return heading(line, 80)
    return "text"
