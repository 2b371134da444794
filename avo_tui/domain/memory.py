"""Rules of the memory: how full it is, when to condense, and which versions owe what to a note."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from itertools import count

from avo_tui.domain.records import Note, Version

CROWDED = 0.75
"""Share of the limit from which the operator is asked to condense."""

BUILT_ON_LIMIT = 8
"""Notes at most that one version names."""


def new_id(category: str, text: str, taken: Collection[str]) -> str:
    """An id for a note: the same for the same words, so that a played recording finds it again."""
    for number in count():
        digest = hashlib.sha256(f"{category}:{text}:{number}".encode()).hexdigest()[:8]
        if digest not in taken:
            return digest
    raise AssertionError("count() has no end")


def size(notes: Iterable[Note]) -> int:
    """Characters that notes hold."""
    return sum(len(note.text) for note in notes)


def crowded(held: int, limit: int) -> bool:
    """True where the memory should be condensed before it is full."""
    return held >= CROWDED * limit


def owing(versions: Iterable[Version]) -> dict[str, tuple[int, ...]]:
    """Note → numbers of the versions that were built on it, ascending."""
    found: dict[str, list[int]] = {}
    for version in versions:
        for note in version.built_on:
            found.setdefault(note.id, []).append(version.number)
    return {note: tuple(sorted(numbers)) for note, numbers in found.items()}


def owed_text(numbers: Iterable[int], limit: int = 6) -> str:
    """`v3, v7 built on it`; empty for none."""
    named = [f"v{number}" for number in numbers]
    if not named:
        return ""
    shown = named if len(named) <= limit else ["…", *named[-limit:]]
    return f"{', '.join(shown)} built on it"
