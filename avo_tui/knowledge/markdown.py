"""Markdown: one section per heading, by CommonMark's own block rules."""

import re
from itertools import pairwise

from markdown_it import MarkdownIt

from avo_tui.knowledge.model import Parsed, Section
from avo_tui.knowledge.text import divide, heading

_BLOCKS = MarkdownIt("commonmark").disable("inline")
_DECORATION = re.compile(r"[`*]|\[([^\]]*)\]\([^)]*\)")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.S)


def parse_markdown(text: str, name: str) -> Parsed:
    """Split at headings; the first level-one heading is the title, else the file's name."""
    offsets = [0]
    for line in text.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    front = _FRONT_MATTER.match(text)
    body_line = text[: front.end()].count("\n") if front else 0
    tokens = _BLOCKS.parse(text if not front else "\n" * body_line + text[front.end() :])

    headings: list[tuple[int, int, str]] = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.map and token.level == 0:
            plain = _DECORATION.sub(lambda m: m.group(1) or "", inline.content)
            headings.append((offsets[token.map[0]], int(token.tag[1]), heading(plain)))

    title = next((text_ for _, level, text_ in headings if level == 1), "") or name
    sections: list[Section] = []
    trail: list[tuple[int, str]] = []
    first = headings[0][0] if headings else len(text)
    if text[:first].strip():
        sections.append(Section((), 0, first))
    for index, (start, level, words) in enumerate(headings):
        end = headings[index + 1][0] if index + 1 < len(headings) else len(text)
        while trail and trail[-1][0] >= level:
            trail.pop()
        trail.append((level, words))
        path = tuple(word for depth, word in trail if not (depth == 1 and word == title))
        sections.append(Section(path, start, end))
    return Parsed(title, "prose", text, divide(text, sections))
