"""The difference between two candidates as a unified diff."""

from __future__ import annotations

import difflib

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate

MAX_DIFF = 100_000
"""Characters of a diff that are kept; what is longer is cut and says so."""


class Difference(Value):
    """A unified diff with its counts of lines."""

    text: str
    added: int
    removed: int


def unified(old: Candidate, new: Candidate) -> Difference:
    """The change from `old` to `new`, file by file."""
    parts: list[str] = []
    added = removed = 0
    for name in sorted({*old.files, *new.files}):
        before, after = old.files.get(name, ""), new.files.get(name, "")
        if before == after:
            continue
        lines = list(
            difflib.unified_diff(
                before.splitlines(), after.splitlines(), f"a/{name}", f"b/{name}", lineterm=""
            )
        )
        added += sum(line.startswith("+") for line in lines[2:])
        removed += sum(line.startswith("-") for line in lines[2:])
        parts.extend(lines)
    text = "\n".join(parts)
    if len(text) > MAX_DIFF:
        text = f"{text[:MAX_DIFF]}\n[cut: {len(text) - MAX_DIFF} more characters]"
    return Difference(text=text, added=added, removed=removed)
