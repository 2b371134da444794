"""The rows of the table of sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from avo_tui.domain.budget import SOFT_WARNING
from avo_tui.domain.progress import state_text
from avo_tui.store import SessionSummary
from avo_tui.ui import formats
from avo_tui.ui.status import STATES
from avo_tui.ui.text import Line, Span, cut, fit, fit_right, line, one_line

ROLES = {
    "state-paused": "warn",
    "state-parked": "info",
    "state-lost": "bad",
    "state-over": "dim",
}
"""Roles of states in the table; in the status line they are louder."""


@dataclass(frozen=True)
class Columns:
    """Which columns a width has room for, and how wide they are."""

    name: int
    task: int
    trend: int
    """0 without it."""
    spend: bool
    age: bool

    @classmethod
    def of(cls, width: int) -> Columns:
        """The columns for a width in cells."""
        name = 18 if width < 100 else 22 if width < 140 else 30
        task = 14 if width < 100 else 18
        spend, age = width >= 88, width >= 130
        used = name + task + 52 + (12 if spend else 0) + (8 if age else 0)
        trend = max(0, min(40, width - used - 4))
        return cls(name, task, trend if trend >= 8 else 0, spend, age)


def table_lines(sessions: Sequence[SessionSummary], width: int, now: datetime) -> list[Line]:
    """A heading, and a row for each session."""
    columns = Columns.of(width)
    return [_head(columns), *(_row(s, columns, width, now) for s in sessions)]


def _head(columns: Columns) -> Line:
    text = fit("name", columns.name) + " " + fit("task", columns.task) + " " + fit("state", 15)
    text += fit_right("best", 16) + fit_right("versions", 10)
    text += fit_right("spend", 12) if columns.spend else ""
    text += fit_right("age", 8) if columns.age else ""
    text += fit_right("active", 9)
    text += "  " + fit("trend", columns.trend) if columns.trend else ""
    return line((text, "faint"))


def _row(s: SessionSummary, columns: Columns, width: int, now: datetime) -> Line:
    if s.error is not None:
        return line(
            (fit(one_line(s.name), columns.name), ""),
            (" ✕ ", "bad"),
            (cut(one_line(s.error), width - columns.name - 3), "dim"),
        )
    glyph, _, role = STATES[s.state or "lost"]
    word: str = s.state or "lost"
    role = ROLES.get(role, role)
    if s.progress is not None:
        word = state_text(s.progress)
        if s.progress.waits_for == "approval":
            glyph, role = "▲", "state-waits"
        elif s.progress.waits_for == "submission":
            glyph, role = "◌", "warn"
        elif s.progress.stuck:
            glyph, role = "!", "warn"
    if s.sandbox_warning:  # why is said below the table
        word, role = f"{word} !", "bad"
    best = "–"
    if s.ratio is not None:
        best = f"{formats.ratio(s.ratio)} {cut(one_line(s.reference_baseline), 8)}"
    spans: list[Span] = [
        (fit(one_line(s.name), columns.name) + " ", "strong"),
        (fit(one_line(s.task), columns.task) + " ", "dim"),
        (fit(f"{glyph} {word}", 15), role),
        (fit_right(best, 16), "good" if (s.ratio or 0) >= 1 else ""),
        (fit_right(str(s.versions), 10), ""),
    ]
    if columns.spend:
        spent, fraction = formats.spend(s.budget.run, s.spend)
        short = spent if len(spent) <= 11 else spent.split("/")[0]
        spans.append((fit_right(short, 12), "warn" if fraction >= SOFT_WARNING else "dim"))
    if columns.age:
        spans.append((fit_right(formats.ago(s.created, now), 8), "dim"))
    spans.append((fit_right(formats.ago(s.last_activity, now), 9), "dim"))
    if columns.trend:
        trend = formats.sparkline(list(s.sparkline), columns.trend)
        spans.append(("  " + trend, "curve"))
    return line(*spans)
