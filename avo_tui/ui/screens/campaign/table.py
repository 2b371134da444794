"""The rows of a campaign's screen: its lines as a table, its chart, what happened. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from avo_tui.domain.budget import SOFT_WARNING, cap_states
from avo_tui.domain.progress import state_text
from avo_tui.store import CampaignView, LineView
from avo_tui.ui import formats
from avo_tui.ui.curves import MARKS, Curve, draw
from avo_tui.ui.status import STATES
from avo_tui.ui.text import BLANK, Line, Span, crop, cut, fit, fit_right, line, one_line

STATE_ROLES = {
    "state-paused": "warn",
    "state-parked": "info",
    "state-lost": "bad",
    "state-over": "dim",
}
NUMBER, RATIO, EVALUATIONS, VERSIONS, MIGRANTS = 6, 9, 14, 10, 13
"""Cells of the columns that are always as wide."""
TREND = 24


def mark(number: int) -> str:
    """The sign of a line, in the table and in the chart; `number` counts from 1."""
    return MARKS[(number - 1) % len(MARKS)]


def table_lines(view: CampaignView, width: int) -> list[Line]:
    """A heading, and a row for each line of the campaign."""
    name = max(len("session"), *(len(one.line.session) for one in view.lines)) + 1
    name = min(name, max(12, width // 3))
    operator = max(len("operator"), *(len(one.line.settings.operator) for one in view.lines)) + 2
    state = max(len("state"), *(len(_state(one)[0]) for one in view.lines)) + 1
    wide = width >= NUMBER + name + state + RATIO + EVALUATIONS + operator + VERSIONS + MIGRANTS
    head = fit("line", NUMBER) + fit("session", name) + fit("state", state)
    head += fit_right("best", RATIO) + fit_right("evaluations", EVALUATIONS)
    if wide:
        head += "  " + fit("operator", operator - 2) + fit_right("versions", VERSIONS)
        head += fit_right("carried over", MIGRANTS)
    rows = [line((head.rstrip(), "faint"))]
    best = view.best
    for one in view.lines:
        word, role = _state(one)
        spans: list[Span] = [
            (fit(f"{mark(one.line.number)} {one.line.number}", NUMBER), "curve"),
            (fit(cut(one.line.session, name - 1), name), "strong"),
            (fit(word, state), role),
        ]
        ratio = "–" if one.best is None else formats.ratio(one.best.aggregate)
        spans.append((fit_right(ratio, RATIO), "good" if one is best else ""))
        share = "" if one.cap is None else f"/{one.cap:g}"
        used = one.cap is not None and one.spend.evaluations >= SOFT_WARNING * one.cap
        spans.append(
            (fit_right(f"{one.spend.evaluations}{share}", EVALUATIONS), "warn" if used else "dim")
        )
        if wide:
            spans.append(("  " + fit(one.line.settings.operator, operator - 2), "dim"))
            spans.append((fit_right(str(one.versions), VERSIONS), ""))
            spans.append((fit_right(_carried(view, one), MIGRANTS), "dim"))
        trend = formats.sparkline([ratio for _, ratio in one.points], TREND)
        if trend and width - sum(len(text) for text, _ in spans) > len(trend) + 2:
            spans.append(("  " + trend, "curve"))
        rows.append(line(*crop(spans, width)))
    return rows


def _state(one: LineView) -> tuple[str, str]:
    """The state of a line with its glyph, and its role."""
    if one.state == "waiting":
        return "◌ not begun", "dim"
    glyph, _, role = STATES[one.state]
    word: str = one.state
    role = STATE_ROLES.get(role, role)
    if one.progress is not None:
        word = state_text(one.progress)
        if one.progress.waits_for == "approval":
            glyph, role = "▲", "state-waits"
        elif one.progress.stuck:
            glyph, role = "!", "warn"
    return f"{glyph} {word}", role


def _carried(view: CampaignView, one: LineView) -> str:
    """How many versions came from other lines: `2 of 3` committed of those sent; "" for none."""
    sent = [m for m in view.migrations if m.migration.target == one.line.number]
    committed = sum(1 for m in sent if m.fate == "committed")
    return f"{committed} of {len(sent)}" if sent else ""


def chart_lines(view: CampaignView, width: int, height: int) -> list[Line]:
    """The best ratio of every line over its evaluations, with the sign of each."""
    curves = [Curve(one.line.session, one.points) for one in view.lines]
    if not any(curve.points for curve in curves):
        return [BLANK, line(("No line has a version yet: each begins with the seed.", "dim"))]
    rows = draw(curves, width, height)
    if not rows:
        return [line(("too little room for the chart", "dim"))]
    return [line((row, "curve")) for row in rows]


def happening_lines(view: CampaignView, width: int) -> list[Line]:
    """What happened in all lines, the latest first."""
    rows = []
    for happening in reversed(view.happenings):
        spans: list[Span] = [
            (f"{happening.at.astimezone():%d %b %H:%M} ", "faint"),
            (fit(f"{mark(happening.line)} line {happening.line}", 10), "curve"),
            ("★ " if happening.better else "  ", "good"),
            (one_line(happening.text), "good" if happening.better else "dim"),
        ]
        rows.append(line(*crop(spans, width)))
    return rows or [line(("Nothing has happened yet.", "dim"))]


def state_counts(view: CampaignView) -> str:
    """How many lines are in each state, the commonest first: many lines do not fit the table."""
    counts = Counter(one.state for one in view.lines)
    return " · ".join(f"{count} {state}" for state, count in counts.most_common())


def status_spans(view: CampaignView, now: datetime) -> tuple[list[Span], list[Span]]:
    """(left, right) of the status line: name, state, best; what was spent."""
    words = {
        "running": ("● RUNNING", "state-running"),
        "lost": (" ! ITS PROCESS IS GONE · avo campaign resume ", "state-lost"),
        "over": ("✔ OVER", "state-over"),
    }
    left: list[Span] = [
        (f" {view.campaign.name}", "title"),
        (f"  {one_line(view.campaign.task.name)}  ", "dim"),
        words[view.state],
    ]
    best = view.best
    if best is not None and best.best is not None:
        ratio = formats.ratio(best.best.aggregate)
        reference = one_line(view.campaign.task.reference_baseline)
        where = f"line {best.line.number} v{best.best.number}"
        left.append((f"  ★ {where} {ratio} {reference}", "good"))
    caps = view.campaign.caps.model_copy(update={"hours": None})
    states = cap_states(caps, view.spend)
    texts = [f"{c.used:g}/{c.cap:g} {c.unit}" for c in states]
    if not any(c.unit == "evaluations" for c in states):
        texts.insert(0, formats.many(view.spend.evaluations, "evaluation"))
    age = formats.ago(view.campaign.created, now)
    return left, [(f"{' · '.join(texts)}  {age} ", "dim")]


def about_spans(one: LineView, width: int) -> Sequence[Span]:
    """Why a line stands as it does, and what it started from."""
    parts = []
    if one.line.split_from is not None:
        parts.append(f"split off from line {one.line.split_from} at {one.line.origin}")
    if one.reason:
        parts.append(one.reason)
    if not parts:
        parts.append(f"enter opens {one.line.session}")
    text = f"line {one.line.number}: {one_line('; '.join(parts))}"
    return [(cut(text, width), "bad" if one.line.problem else "dim")]
