"""Formats the supervisor's numbers with their limits, and its next intervention."""

from __future__ import annotations

from avo_tui.domain.run_settings import Level
from avo_tui.domain.stall_rules import (
    Rule,
    limits,
    next_level,
    rules,
    stall,
)
from avo_tui.domain.state import SessionState
from avo_tui.ui import formats
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, Span, line

BAR = 10
"""Cells of a bar."""
NUMBER = 15
"""Cells of a number beside its limit."""


def stall_lines(snapshot: Snapshot) -> list[Line]:
    """How near the supervisor is to its next intervention; nothing before the first version.

    Of a run in which it does not intervene, the same numbers without limits.
    """
    settings = snapshot.session.settings
    ladder = settings.operator_traits.ladder
    if not snapshot.versions:
        return []
    measured_stall = stall(
        SessionState(
            session=snapshot.session,
            versions=dict(snapshot.versions),
            steps=dict(snapshot.steps),
            attempts=dict(snapshot.attempts),
            supervision=dict(snapshot.supervision),
        )
    )
    rows = rules(measured_stall, limits(settings))
    out = [line(("since the last commit or intervention", "dim"))]
    if not ladder:
        for rule in rows:
            if rule.used or rule.name in {"attempts", "seconds"}:
                number = _number(rule).split(" of ")[0]
                words = rule.words.removeprefix("seconds of ")
                out.append(line((number.rjust(NUMBER), "strong"), (f"  {words}", "dim")))
        return [*out, BLANK]
    out += [_row(rule) for rule in rows if rule.limit]
    if off := [rule.name for rule in rows if not rule.limit]:
        out.append(line((f"switched off: {', '.join(off)}", "faint")))
    return [*out, _ladder(ladder, measured_stall.rung), BLANK]


def _row(rule: Rule) -> Line:
    share = min(1.0, rule.fraction)
    full = round(share * BAR)
    role = "bad" if share >= 1 else "warn" if share >= 0.75 else ""
    return line(
        (_number(rule).rjust(NUMBER), role or "strong"),
        "  ",
        ("━" * full, role or "info"),
        ("─" * (BAR - full), "faint"),
        (f"  {rule.words.removeprefix('seconds of ')}", "dim"),
    )


def _number(rule: Rule) -> str:
    if rule.name == "seconds":
        return f"{formats.coarse(rule.used)} of {formats.coarse(rule.limit)}"
    if rule.name == "usd":
        return f"${rule.used:.2f} of ${rule.limit:.2f}"
    return f"{rule.used:.0f} of {rule.limit:.0f}"


def _ladder(ladder: tuple[Level, ...], rung: int) -> Line:
    """The kinds of intervention in order, with the next one marked."""
    coming = next_level(rung, ladder)
    spans: list[Span] = [("ladder  ", "dim")]
    for index, level in enumerate(ladder):
        if index:
            spans.append((" → ", "faint"))
        mine = level == coming
        spans.append(((f"▸{level}" if mine else level).replace("_", " "), "warn" if mine else ""))
    times = f"  {rung} since the last commit" if rung else ""
    return line(*spans, (times, "faint"))
