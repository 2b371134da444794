"""Splits source code into one section per function, class or kernel, and the text between."""

import ast
import warnings

from avo_tui.knowledge.c_source import c_symbols
from avo_tui.knowledge.model import Parsed, Section
from avo_tui.knowledge.text import divide, plain_sections

PYTHON = frozenset({".py", ".pyi"})
_C_SUFFIXES = ".c .h .cc .cpp .cxx .hh .hpp .hxx .cu .cuh .inl .ipp .tpp .inc .hip .cl .mm"
C_FAMILY = frozenset(_C_SUFFIXES.split())
#: A class longer than this (characters) is split into its members.
BIG_CLASS = 4000


def parse_code(text: str, name: str, suffix: str) -> Parsed:
    """Sections of a source file. Text outside of any symbol becomes sections without a name."""
    if suffix in PYTHON:
        sections = _cover(text, _python_symbols(text))
    elif suffix in C_FAMILY:
        sections = _cover(text, c_symbols(text, BIG_CLASS))
    else:
        sections = list(plain_sections(text))
    return Parsed(name, "source", text, divide(text, sections))


def _cover(text: str, symbols: list[Section]) -> list[Section]:
    """The symbols in order, with sections for the text between them."""
    sections: list[Section] = []
    covered = 0
    for symbol in [*symbols, Section((), len(text), len(text))]:
        gap = text[covered : symbol.start]
        if gap.strip(" \t\n};"):
            sections += (
                Section(piece.path, covered + piece.start, covered + piece.end)
                for piece in plain_sections(gap)
            )
        if symbol.end > symbol.start:
            sections.append(symbol)
        covered = max(covered, symbol.end)
    return sections


def _python_symbols(text: str) -> list[Section]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []  # a template or another version of Python: the file is searchable as plain text
    lines = [0]
    for line in text.split("\n"):
        lines.append(lines[-1] + len(line) + 1)
    sections: list[Section] = []

    def walk(body: list[ast.stmt], above: tuple[str, ...]) -> None:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            start = lines[first - 1]
            end = min(lines[node.end_lineno or node.lineno], len(text))
            path = (*above, node.name)
            if isinstance(node, ast.ClassDef) and end - start > BIG_CLASS:
                walk(node.body, path)
            elif not sections or start >= sections[-1].end:
                sections.append(Section(path, start, end, ".".join(path)))

    walk(tree.body, ())
    return sections
