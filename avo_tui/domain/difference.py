"""The difference between two candidates as a unified diff."""

from __future__ import annotations

import difflib

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import CandidateEdited

MAX_DIFF = 100_000
"""Most characters of a diff that an event keeps; a longer diff is cut and marked as cut."""


class Difference(Value):
    text: str
    added: int
    removed: int


def unified(old: Candidate, new: Candidate, context: int = 3) -> Difference:
    """The change from `old` to `new`, file by file, with `context` lines around each hunk."""
    parts: list[str] = []
    added = removed = 0
    for name in sorted({*old.files, *new.files}):
        before, after = old.files.get(name), new.files.get(name)
        if before == after:
            continue
        lines = list(
            difflib.unified_diff(
                (before or "").splitlines(),
                (after or "").splitlines(),
                f"a/{name}" if before is not None else "/dev/null",
                f"b/{name}" if after is not None else "/dev/null",
                n=context,
                lineterm="",
            )
        )
        added += sum(line.startswith("+") for line in lines[2:])
        removed += sum(line.startswith("-") for line in lines[2:])
        parts.extend(lines)
    return Difference(text="\n".join(parts), added=added, removed=removed)


def edited(candidate: Candidate, parent: int, origin: Candidate, title: str) -> CandidateEdited:
    """The event that records an edit: `origin` is the source of the version `parent`."""
    change = unified(origin, candidate)
    text = change.text
    if len(text) > MAX_DIFF:
        text = f"{text[:MAX_DIFF]}\n[cut: {len(text) - MAX_DIFF} more characters]"
    return CandidateEdited(
        candidate=candidate.id,
        parent=parent,
        diff=text,
        added=change.added,
        removed=change.removed,
        title=title,
    )
