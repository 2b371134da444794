"""Source text to roles, by Pygments. Slow for long files: call it off the event loop. Pure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache, lru_cache

from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_for_filename  # type: ignore[import-untyped]
from pygments.token import Token, _TokenType  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]

from avo_tui.ui.text import Span, clean, merged

_ROLES: tuple[tuple[_TokenType, str], ...] = (
    (Token.Comment.Preproc, "sx-preproc"),
    (Token.Comment.PreprocFile, "sx-string"),
    (Token.Comment, "sx-comment"),
    (Token.Keyword.Type, "sx-type"),
    (Token.Keyword, "sx-keyword"),
    (Token.Name.Function, "sx-function"),
    (Token.Name.Class, "sx-type"),
    (Token.Name.Builtin, "sx-type"),
    (Token.Literal.String, "sx-string"),
    (Token.Literal.Number, "sx-number"),
)
_ALIASES = {".cu": "x.cpp", ".cuh": "x.cpp", ".inl": "x.cpp", ".ptx": "x.s"}
_KEEP = 24

Highlighted = tuple[tuple[Span, ...], ...]
"""Per line: spans with syntax roles."""


@cache
def _role(token: _TokenType) -> str:
    return next((role for kind, role in _ROLES if token in kind), "")


@lru_cache(32)
def _lexer(name: str) -> Lexer | None:
    for suffix, alias in _ALIASES.items():
        if name.endswith(suffix):
            name = alias
            break
    try:
        return get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def highlight(text: str, name: str) -> Highlighted:
    """Spans of every line of a source file, cleaned of control characters."""
    lexer = _lexer(name)
    if lexer is None:
        return tuple(((clean(row), ""),) for row in text.split("\n"))
    rows: list[list[Span]] = [[]]
    for token, value in lexer.get_tokens(text):
        role = _role(token)
        for i, part in enumerate(value.split("\n")):
            if i:
                rows.append([])
            if part:
                rows[-1].append((part, role))
    # Tabs are expanded by `overlay`'s caller through `clean`, span by span: sources that use
    # them keep their alignment well enough.
    return tuple(tuple((clean(part), role) for part, role in merged(row)) for row in rows)


class Highlighter:
    """A cache of highlighted files by content; safe to call from several threads."""

    def __init__(self, keep: int = _KEEP) -> None:
        self._keep = keep
        self._cache: OrderedDict[tuple[str, int, str], Highlighted] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, text: str, name: str) -> Highlighted:
        key = (name, hash(text), text[:64])
        with self._lock:
            cached = self._cache.get(key)
            if cached is not None:
                self._cache.move_to_end(key)
                return cached
        highlighted = highlight(text, name)
        with self._lock:
            self._cache[key] = highlighted
            while len(self._cache) > self._keep:
                self._cache.popitem(last=False)
        return highlighted


def overlay(
    spans: Sequence[Span], ranges: Sequence[tuple[int, int]], role: str
) -> tuple[Span, ...]:
    """Add `role` to the characters in `ranges` (sorted, apart from each other)."""
    if not ranges:
        return tuple(spans)
    out: list[Span] = []
    offset = 0
    for text, base in spans:
        end = offset + len(text)
        here = offset
        for start, stop in ranges:
            if stop <= here or start >= end:
                continue
            if start > here:
                out.append((text[here - offset : start - offset], base))
            here = max(here, start)
            upto = min(stop, end)
            out.append((text[here - offset : upto - offset], f"{base} {role}".strip()))
            here = upto
        if here < end:
            out.append((text[here - offset :], base))
        offset = end
    return tuple(out)
