"""Formats the rows of the lineage graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avo_tui.domain.attempts import was_rejected
from avo_tui.domain.changes import change_of
from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.verdict import Verdict
from avo_tui.ui import formats
from avo_tui.ui.panes.lineage.graph_layout import GraphRow
from avo_tui.ui.text import Line, Span, crop, cut, fit, fit_right, line, one_line, width_of

NAME = 6
"""Width in cells of a version's or attempt's name, so that the ratios are aligned."""

WITH_THROUGHPUT = 76
"""Width in cells from which a row has a column for the throughput."""


@dataclass(frozen=True, slots=True)
class LineageContext:
    """The data a row needs in addition to its own record."""

    versions: Mapping[int, Version]
    attempts: Mapping[tuple[int, int], Attempt]
    aggregates: Mapping[int, float]
    best: int | None
    head: int | None
    stage: str = ""
    """What the open attempt is doing."""
    unfolded: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()
    unit: str = ""
    operator: str = ""
    """The run's operator; a version by another author shows that author."""
    lanes: int = 0
    """Number of lanes to reserve, so that names begin in the same column in every row."""

    def same(self, other: LineageContext) -> bool:
        """Whether all rows look the same; tables are compared by identity."""
        return (
            self.versions is other.versions
            and self.attempts is other.attempts
            and self.aggregates is other.aggregates
            and (self.best, self.head, self.stage) == (other.best, other.head, other.stage)
            and (self.unfolded, self.marked) == (other.unfolded, other.marked)
            and (self.operator, self.lanes) == (other.operator, other.lanes)
        )


def row_line(drawn: GraphRow, context: LineageContext, width: int) -> Line:
    """One row: lanes, name, score chip, change, title."""
    most = 5 if width < 70 else 10
    lanes = (most, min(context.lanes, most))
    row = drawn.row
    if row.kind == "version":
        return _version(drawn, context, width, lanes)
    if row.kind in {"fold", "stall"}:
        stall = row.kind == "stall"
        spans = _lanes(drawn, "✕", "faint", lanes)
        steps = f"  steps {row.first_step}–{row.step}" if stall else f"  step {row.step}"
        numbers = range(row.first_step if stall else row.step, row.step + 1)
        folded = [a for n in numbers for a in _of_step(context, n) if a.version is None]
        word = "rejected" if all(map(was_rejected, folded)) else "not committed"
        spans += [(f"{row.number} {word}", "dim"), (steps, "faint")]
        best = max((a.aggregate for a in folded), default=0.0)
        furthest = f"  best {formats.ratio(best)}"
        if best > 0 and width_of(spans) + len(furthest) <= width:
            spans.append((furthest, "faint"))
        return line(*spans, meta=row.key)
    attempt = context.attempts.get((row.step, row.number))
    title = one_line(attempt.title) if attempt else ""
    if row.kind == "running":
        spans = _lanes(drawn, "◌", "running", lanes)
        spans += [
            (_name(f"{row.step}.{row.number}", NAME), "running"),
            (context.stage or "starting", "running"),
        ]
        if attempt is not None and attempt.aggregate:
            spans.insert(-1, (fit_right(formats.ratio(attempt.aggregate), 7) + "  ", "running"))
        room = width - width_of(spans) - 2
        if title and room > 8:
            spans.append(("  " + cut(title, room), "dim"))
        return line(*spans, meta=row.key)
    lost = attempt is None or was_rejected(attempt)
    spans = _lanes(drawn, "✕" if lost else "·", "faint", lanes)
    spans.append((_name(f"{row.step}.{row.number}", NAME), "dim"))
    if attempt is not None:
        why = _why(attempt)
        spans.append(
            (fit_right(formats.ratio(attempt.aggregate), 7) + "  ", "dim")
            if attempt.aggregate
            else (" ", "")
        )
        spans.append((cut(why, max(4, width - width_of(spans))), "faint"))
    return line(*spans, meta=row.key)


def _name(text: str, width: int) -> str:
    """A name and a gap, in the same width for all but the longest."""
    return fit(text, max(width, len(text) + 1))


def _of_step(context: LineageContext, step: int) -> list[Attempt]:
    out = []
    number = 1
    while (attempt := context.attempts.get((step, number))) is not None:
        out.append(attempt)
        number += 1
    return out


def _why(attempt: Attempt) -> str:
    if attempt.verdict is None:
        return "interrupted"
    if attempt.verdict is not Verdict.CORRECT:
        verdict_text = attempt.verdict.value.replace("_", " ")
        return f"{verdict_text}  {one_line(formats.minus(attempt.reason) or attempt.title)}"
    return one_line(attempt.title or formats.minus(attempt.reason))


def _lanes(drawn: GraphRow, glyph: str, role: str, lanes: tuple[int, int]) -> list[Span]:
    """The lanes, at most and at least so many."""
    most, least = lanes
    spans = [(t, role if r == "node" else r) for t, r in prefix(drawn, glyph, most)]
    return [*spans, (" " * max(1, 2 * least - width_of(spans) + 1), "")]


def prefix(drawn: GraphRow, glyph: str, limit: int) -> list[tuple[str, str]]:
    """The lanes of a row as (text, role) spans, two cells per lane, at most `limit` lanes.

    Roles: `lane` on the head's line, `lane-dead` elsewhere, `node` for the glyph.
    """

    def role(i: int) -> str:
        return "lane-dead" if i in drawn.dead else "lane"

    out: list[tuple[str, str]] = []
    last_merge = max(drawn.merges, default=-1)
    for i in range(min(len(drawn.lanes), limit)):
        beyond = i == limit - 1 and len(drawn.lanes) > limit
        if drawn.leaf and i == drawn.lane:
            out += [("├", role(i)), (glyph, "node")]
            continue
        if i == drawn.lane:
            out.append((glyph, "node"))
        elif i in drawn.merges:
            out.append(("╯" if i == last_merge else "┴", role(i)))
        elif drawn.lane < i < last_merge:
            out.append(("┼" if drawn.lanes[i] else "─", role(last_merge)))
        elif drawn.lanes[i]:
            out.append(("┊" if beyond else "│", role(i)))
        else:
            out.append((" ", ""))
        stroke = drawn.lane <= i < last_merge
        out.append(("─" if stroke else " ", role(last_merge) if stroke else ""))
    if drawn.lane >= limit:
        out[-1:] = [(glyph, "node")]
    return out


def _version(drawn: GraphRow, context: LineageContext, width: int, lanes: tuple[int, int]) -> Line:
    version = context.versions[drawn.row.number]
    number = version.number
    if number == context.best:
        glyph, role = "★", "best"
    elif number == context.head:
        glyph, role = "●", "head"
    else:
        glyph, role = "○", "lane-dead" if drawn.lane in drawn.dead else "lane"
    dead = drawn.lane in drawn.dead
    spans = _lanes(drawn, glyph, role, lanes)
    name_role = "best" if number == context.best else "head" if number == context.head else ""
    if dead and not name_role:
        name_role = "dim"
    mark = "◈" if number in context.marked else " "
    spans.append((_name(f"v{number}", NAME), name_role))
    value = context.aggregates.get(number, 0.0)
    spans.append((fit_right(formats.ratio(value), 7), "dim" if dead else "strong"))
    change = change_of(version, context.versions, context.aggregates)
    spans.append((fit_right(formats.gain(change), 8), formats.gain_role(change)))
    if width >= WITH_THROUGHPUT:
        spans.append((fit_right(formats.throughput(version.score.geomean), 10), "dim"))
    spans.append((mark + " ", "accent"))
    tags: list[Span] = []
    if version.bookmark:
        room = max(16, (width - width_of(spans)) // 2)
        tags.append((f"⚑ {cut(one_line(version.bookmark), room)} ", "bookmark"))
    if number == context.head and number == context.best:
        tags.append(("head ", "head"))
    if version.author not in {"agent", "tuner", "seed", "recorded", context.operator}:
        tags.append((f"{version.author} ", "hint"))
    spans += tags
    title = "seed" if version.author == "seed" and not version.plan else version.title
    first = one_line(title)
    room = width - width_of(spans)
    if first and room > 3:
        spans.append((cut(first, room), "faint" if dead else "dim"))
    return line(*crop(spans, width), meta=drawn.row.key)
