"""The agent's memory: its size, when to condense it, and which versions used which note."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from itertools import count

from avo_tui.domain.records import Attempt, Note, Version

CROWDED = 0.75
"""Fraction of the size limit above which the agent is asked to condense its notes."""

BUILT_ON_LIMIT = 8
"""Largest number of notes that one version may name as used."""


def new_id(category: str, text: str, taken: Collection[str]) -> str:
    """An id for a note, derived from its text so that a replay produces the same id."""
    for number in count():
        digest = hashlib.sha256(f"{category}:{text}:{number}".encode()).hexdigest()[:8]
        if digest not in taken:
            return digest
    raise AssertionError("count() has no end")


def size(notes: Iterable[Note]) -> int:
    """Characters in all notes together."""
    return sum(len(note.text) for note in notes)


def crowded(held: int, limit: int) -> bool:
    """Whether the memory is so full that the notes should be condensed."""
    return held >= CROWDED * limit


_ATTEMPTS = re.compile(r"(?<![\d.+-])(\d+)\.(\d+)(?:\s*[-–]\s*(\d+)\.(\d+))?(?![\d.]*%)")
"""Names of attempts in a note, such as `6.17` or `6.12-6.19`; a gain in per cent is none."""


def doubt(attempt: Attempt, notes: Iterable[Note]) -> Note | None:
    """The newest note of a failure that names the attempt, by itself or in a range; None without
    one."""
    key = attempt.step, attempt.number
    for note in sorted(notes, key=lambda note: note.at, reverse=True):
        for named in _ATTEMPTS.finditer(note.text) if note.category == "failed" else ():
            first = int(named[1]), int(named[2])
            last = (int(named[3]), int(named[4])) if named[3] else first
            if first <= key <= last:
                return note
    return None


def owing(versions: Iterable[Version]) -> dict[str, tuple[int, ...]]:
    """Note id → numbers of the versions that name the note as used, in ascending order."""
    users: dict[str, list[int]] = {}
    for version in versions:
        for note in version.built_on:
            users.setdefault(note.id, []).append(version.number)
    return {note: tuple(sorted(numbers)) for note, numbers in users.items()}


def owed_text(numbers: Iterable[int], limit: int = 6) -> str:
    """The versions that used a note, as text such as `v3, v7 built on it`; empty if there are
    none."""
    named = [f"v{number}" for number in numbers]
    if not named:
        return ""
    shown = named if len(named) <= limit else ["…", *named[-limit:]]
    return f"{', '.join(shown)} built on it"
