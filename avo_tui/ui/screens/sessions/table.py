"""The rows of the table of sessions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rich.cells import cell_len

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
"""Colour roles of states in the table; the status line uses stronger ones."""
RATIO, ACTIVE, VERSIONS, SPEND, AGE = 8, 8, 10, 12, 7
"""Cells of the columns that are always as wide."""
TREND, TREND_MOST = 8, 40
"""Cells of the sparkline: at least, and at most."""
NAME_MOST = 44


@dataclass(frozen=True)
class Columns:
    """Which columns a width has room for, and how wide they are: 0 is left out.

    The name comes first, and whole: it is what one types after `avo attach`. Then the state, the
    best ratio and when the session was last active; the others as there is room for them.
    """

    name: int
    state: int
    active: int = 0
    versions: int = 0
    baseline: int = 0
    task: int = 0
    spend: int = 0
    age: int = 0
    trend: int = 0

    @classmethod
    def of(cls, sessions: Sequence[SessionSummary], width: int) -> Columns:
        """The columns for a width in cells."""
        state = _widest(("state", *(_state(s)[0] for s in sessions if s.error is None)), 16) + 1
        name = _widest(("name", *(one_line(s.name) for s in sessions)), NAME_MOST) + 1
        name = min(name, max(12, width - state - RATIO))
        left = width - name - state - RATIO
        names = [one_line(s.reference_baseline) for s in sessions if s.ratio is not None]
        baseline = _widest(names, 16) + 1 if names else 0
        task = _widest(("task", *(one_line(s.task) for s in sessions)), 26) + 1
        out = cls(name, state)
        for field, cells in (
            ("active", ACTIVE),
            ("versions", VERSIONS),
            ("baseline", baseline),
            ("task", task),
            ("spend", SPEND),
            ("age", AGE),
        ):
            if cells <= left:
                out, left = replace(out, **{field: cells}), left - cells
        trend = min(TREND_MOST, left - 2)
        return replace(out, trend=trend) if trend >= TREND else out


def _widest(texts: Iterable[str], most: int) -> int:
    return min(most, max((cell_len(text) for text in texts), default=0))


def table_lines(sessions: Sequence[SessionSummary], width: int, now: datetime) -> list[Line]:
    """A heading, and a row for each session."""
    columns = Columns.of(sessions, width)
    return [_head(columns), *(_row(s, columns, width, now) for s in sessions)]


def _head(columns: Columns) -> Line:
    text = fit("name", columns.name) + fit("task", columns.task) + fit("state", columns.state)
    text += fit_right("best", RATIO) + fit("", columns.baseline)
    text += fit_right("versions", VERSIONS) if columns.versions else ""
    text += fit_right("spend", SPEND) if columns.spend else ""
    text += fit_right("age", AGE) if columns.age else ""
    text += fit_right("active", ACTIVE) if columns.active else ""
    text += "  " + fit("trend", columns.trend) if columns.trend else ""
    return line((text.rstrip(), "faint"))


def _state(s: SessionSummary) -> tuple[str, str]:
    """The state with its glyph, and its role."""
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
    return f"{glyph} {word}", role


def _row(s: SessionSummary, columns: Columns, width: int, now: datetime) -> Line:
    name = fit(cut(one_line(s.name), columns.name - 1), columns.name)
    if s.error is not None:
        room = width - columns.name - 2
        return line((name, "strong"), ("✕ ", "bad"), (cut(one_line(s.error), room), "dim"))
    state, role = _state(s)
    spans: list[Span] = [(name, "strong")]
    if columns.task:
        spans.append((fit(cut(one_line(s.task), columns.task - 1), columns.task), "dim"))
    spans.append((fit(state, columns.state), role))
    ratio = "–" if s.ratio is None else formats.ratio(s.ratio)
    spans.append((fit_right(ratio, RATIO), "good" if (s.ratio or 0) >= 1 else ""))
    if columns.baseline:
        known = "" if s.ratio is None else one_line(s.reference_baseline)
        spans.append((fit(f" {known}", columns.baseline), "dim"))
    if columns.versions:
        spans.append((fit_right(str(s.versions), VERSIONS), ""))
    if columns.spend:
        spent, fraction = formats.spend(s.budget.run, s.spend)
        short = spent if len(spent) < SPEND else spent.split("/")[0]
        spans.append((fit_right(short, SPEND), "warn" if fraction >= SOFT_WARNING else "dim"))
    if columns.age:
        spans.append((fit_right(formats.ago(s.created, now), AGE), "dim"))
    if columns.active:
        spans.append((fit_right(formats.ago(s.last_activity, now), ACTIVE), "dim"))
    if columns.trend:
        trend = formats.sparkline(list(s.sparkline), columns.trend)
        spans.append(("  " + trend, "curve"))
    return line(*spans)
