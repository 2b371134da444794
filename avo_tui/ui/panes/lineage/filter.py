"""Filters the rows of the lineage by a text; newest first, without lanes. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avo_tui.domain.attempts import attempt_name, attempt_status, was_rejected
from avo_tui.domain.records import Attempt, Version
from avo_tui.ui.panes.lineage.graph_layout import GraphRow, Key, Row, rows
from avo_tui.ui.session.feed import Snapshot


@dataclass(frozen=True)
class Matches:
    """The result of a filter on one lineage; reused until the lineage or the text changes."""

    needle: str
    rows: list[GraphRow]
    places: dict[Key, int]
    versions: Mapping[int, Version]
    attempts: Mapping[tuple[int, int], Attempt]
    live_step: int | None

    @classmethod
    def of(
        cls, snapshot: Snapshot, needle: str, live_step: int | None, before: Matches | None
    ) -> Matches:
        """The rows of a snapshot that contain `needle`; returns `before` if it is still valid."""
        same = (
            before is not None
            and before.versions is snapshot.versions
            and before.attempts is snapshot.attempts
            and before.live_step == live_step
        )
        if same and before is not None and before.needle == needle:
            return before
        low = needle.casefold()
        if same and before is not None and before.needle.casefold() in low:
            candidates = [drawn.row for drawn in before.rows]  # typed on: only fewer can be left
        else:
            unfolded = frozenset(step for step, _ in snapshot.attempts)
            candidates = rows(snapshot.versions, snapshot.attempts.values(), unfolded, live_step)
        matching_rows = [
            GraphRow(row, 0, (True,), (), False, frozenset())
            for row in candidates
            if low in text_of(row, snapshot).casefold()
        ]
        places = {d.row.key: i for i, d in enumerate(matching_rows)}
        return cls(needle, matching_rows, places, snapshot.versions, snapshot.attempts, live_step)


def text_of(row: Row, snapshot: Snapshot) -> str:
    """The text of a row that the filter searches."""
    if row.kind == "version":
        return _of_version(snapshot.versions[row.number])
    attempt = snapshot.attempts.get((row.step, row.number))
    return "" if attempt is None else _of_attempt(attempt, snapshot.open_step)


def _of_version(v: Version) -> str:
    return f"v{v.number} {v.idea} {v.plan} {v.summary} {v.author} {v.bookmark or ''} {v.note}"


def _of_attempt(a: Attempt, step: int | None) -> str:
    kind = " rejected" if was_rejected(a) else ""
    return f"{attempt_name(a)} {a.title} {a.reason} {attempt_status(a, step)}{kind}"
