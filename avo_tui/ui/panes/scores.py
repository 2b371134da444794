"""A score as a table, alone or beside another: throughput, bars, baselines, change, spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from avo_tui.domain.changes import ABOUT, Difference, difference
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.ui import formats
from avo_tui.ui.text import Line, Span, fit, fit_right, line, merged, one_line, prose

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(value: float, top: float, cells: int) -> str:
    """A bar of `cells` cells in eighths."""
    if top <= 0 or cells <= 0:
        return " " * max(cells, 0)
    eighths = round(min(1.0, max(0.0, value / top)) * cells * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(cells)[:cells]


def bar_spans(
    value: float, top: float, cells: int, marks: Mapping[str, float], reference: str, role: str
) -> list[Span]:
    """A bar with a tick for each baseline; `marks` are the baselines' values."""
    text = list(bar(value, top, cells))
    roles = [role if cell != " " else "" for cell in text]
    for name in sorted(marks, key=lambda n: n == reference):  # the reference on top of the others
        column = min(cells - 1, int(marks[name] / top * cells)) if top > 0 else 0
        if column < 0 or text[column] not in " █│┊":
            continue
        roles[column] = f"{role} bar-tick" if roles[column] not in {"", "bar-mark"} else "bar-mark"
        text[column] = "│" if name == reference else "┊"
    return merged(list(zip(text, roles, strict=True)))


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns of the benchmark that fit, with their widths."""

    name: int
    bar: int
    """0 without bars."""
    top: float
    """The ratio at a bar's end."""
    reference: str
    others: tuple[str, ...]
    """Baselines that have a column of their own."""
    with_parent: bool
    says_flags: bool
    """What is odd about a measurement stands behind its row."""

    @classmethod
    def of(cls, score: Score, width: int, with_parent: bool) -> _Table:
        rows, reference = score.configurations, score.reference_baseline
        name = max(8, min(max((cell_len(c.name) for c in rows), default=8), 22))
        left = width - name - 19 - (9 if with_parent else 0) - 7  # throughput, ratio; spread
        others = score.other_baselines
        others = others if left - 12 >= 9 * len(others) else []
        left -= 9 * len(others)
        flags_width = max((cell_len(_flags(c)) + 1 for c in rows if c.flags), default=0)
        says = 0 < flags_width <= left // 2  # the rest is for the bars
        room = left - 2 - (flags_width if says else 0)
        top = max(
            [1.0, *(c.ratio for c in rows)]
            + [v for c in rows for v in _ratios(c, reference).values()]
        )
        bar_width = min(room, 44) if room >= 6 else 0
        return cls(name, bar_width, top, reference, tuple(others), with_parent, says)


def benchmark_lines(
    score: Score, width: int, parent: Score | None = None, parent_name: str = ""
) -> list[Line]:
    """The score as a table: throughput, bar against the baselines, ratios, change, spread.

    The change compares two separate runs; it has a colour only where it exceeds their spread.
    """
    table = _Table.of(score, width, parent is not None)
    out = [_head(score, table, parent_name)]
    for c in score.configurations:
        old = parent.by_name(c.name) if parent is not None else None
        out.append(_row(c, table, difference(c, old)))
    if len(score.configurations) > 1:
        out.append(_total(score, table, difference(score, parent)))
    unsaid = [n for n in score.other_baselines if n not in table.others]
    if unsaid:
        other_ratios = " · ".join(
            f"{formats.ratio(score.ratio_to(n))} {one_line(n)}" for n in unsaid
        )
        out += prose(other_ratios, width, "dim", ("also ", "faint"))
    for remark in score.remarks:
        out += prose(one_line(remark), width, "dim")
    if not table.says_flags:
        for c in score.configurations:
            if c.flags:
                out += prose(f"{one_line(c.name)} {_flags(c)}", width, "warn", ("! ", "warn"))
    return out


def _head(score: Score, table: _Table, parent_name: str) -> Line:
    spans: list[Span] = [(fit("", table.name), ""), (fit_right(score.unit, 10), "faint")]
    if table.bar:
        spans.append(("  " + fit(_legend(score, table), table.bar), "faint"))
    for name in (table.reference, *table.others):
        spans.append((fit_right(f"× {one_line(name)}"[:9], 9), "faint"))
    if table.with_parent:
        spans.append((fit_right(parent_name, 9), "faint"))
    return line(*spans, (fit_right("spread", 7), "faint"))


def _legend(score: Score, table: _Table) -> str:
    """What the ticks in the bars are; as much of it as there is room for."""
    ticks = f"│ {one_line(table.reference)}"
    others = " ".join(map(one_line, score.other_baselines))
    both = f"{ticks}  ┊ {others}" if others else ticks
    return next((text for text in (both, ticks) if cell_len(text) <= table.bar), "")


def change_span(change: Difference | None, about: str = "") -> Span:
    """The cell of a change between two runs, with a mark before it."""
    if change is None:
        return (fit_right("", 9), "")
    role = formats.change_role(change.gain) if change.clear else "dim"
    return (fit_right(about + formats.change(change.gain), 9), role)


def _row(c: ConfigurationScore, table: _Table, change: Difference | None) -> Line:
    marks = {table.reference: 1.0, **_ratios(c, table.reference)}
    others = [c.throughput / base if (base := c.baselines.get(n, 0.0)) > 0 else None
              for n in table.others]  # fmt: skip
    spans = _cells(one_line(c.name), c.throughput, c.ratio, marks, others, change, table, "")
    spans.append((fit_right(f"±{c.spread * 100:.1f}%", 7), "warn" if c.flags else "dim"))
    if c.flags and table.says_flags:
        spans.append((" " + _flags(c), "warn"))
    return line(*spans)


def _total(score: Score, table: _Table, change: Difference | None) -> Line:
    marks = {table.reference: 1.0}
    for name in score.other_baselines:
        if (ratio := score.ratio_to(name)) > 0:
            marks[name] = score.aggregate / ratio
    others = [score.ratio_to(name) for name in table.others]
    figures = (score.geomean, score.aggregate, marks, others)
    spans = _cells("geomean", *figures, change, table, "strong")
    return line(*spans, (fit_right(f"±{score.noise * 100:.1f}%", 7), "dim"))


def _cells(
    name: str,
    throughput: float,
    ratio: float,
    marks: Mapping[str, float],
    others: Sequence[float | None],
    change: Difference | None,
    table: _Table,
    role: str,
) -> list[Span]:
    """The columns before the spread."""
    spans: list[Span] = [
        (fit(name, table.name), role),
        (fit_right(formats.throughput(throughput), 10), role),
    ]
    if table.bar:
        bar_role = "bar-good" if ratio >= 1 else "bar"
        spans.append(("  ", ""))
        spans += bar_spans(ratio, table.top, table.bar, marks, table.reference, bar_role)
    spans.append((fit_right(formats.ratio(ratio), 9), role or ("good" if ratio >= 1 else "")))
    for other in others:
        spans.append((fit_right("" if other is None else formats.ratio(other), 9), "dim"))
    if table.with_parent:
        spans.append(change_span(change))
    return spans


def _flags(c: ConfigurationScore) -> str:
    return one_line(", ".join(c.flags))


def _ratios(c: ConfigurationScore, reference: str) -> Mapping[str, float]:
    base = c.baselines.get(reference, 0.0)
    return {n: v / base for n, v in c.baselines.items()} if base > 0 else {}


def paired_lines(
    left: Score, right: Score, left_name: str, right_name: str, width: int
) -> list[Line]:
    """A bar of each version for each configuration, and how much faster the right one is.

    Bars are ratios to the reference baseline, which is a tick in each of them. The spread of each
    run stands behind its bar; a change (`≈`, as it compares two runs) has a colour only where it
    exceeds both.
    """
    names = list(dict.fromkeys(c.name for c in (*right.configurations, *left.configurations)))
    pairs = [(name, left.by_name(name), right.by_name(name)) for name in names]
    label = min(22, max([8, *(cell_len(one_line(name)) for name in names)])) + 1
    version = max(len(left_name), len(right_name)) + 1
    cells = max(0, width - label - version - 27)
    top = max(1.0, *(c.ratio for _, a, b in pairs for c in (a, b) if c), left.aggregate)
    head = line(
        (fit("", label + version), ""), (f"│ {one_line(right.reference_baseline)}", "faint")
    )
    out = [head]
    for name, old, new in pairs:
        for which, score, first in ((left_name, old, True), (right_name, new, False)):
            spans: list[Span] = [(fit(one_line(name) if first else "", label - 1) + " ", "")]
            spans.append((fit(which, version), "dim"))
            spans += _bar(score, top, cells, right.reference_baseline, "bar" if first else "")
            if not first:
                spans.append(change_span(difference(new, old), ABOUT))
            out.append(line(*spans))
    summary = f"{formats.ratio(left.aggregate)} → {formats.ratio(right.aggregate)}"
    out.append(
        line(
            (fit("geomean", label), "strong"),
            (summary, "strong"),
            change_span(difference(right, left), ABOUT),
        )
    )
    return out


def _bar(
    score: ConfigurationScore | None, top: float, cells: int, reference: str, role: str
) -> list[Span]:
    if score is None:
        return [(fit("not measured", cells + 17), "faint")]
    role = role or ("bar-good" if score.ratio >= 1 else "bar")
    return [
        *bar_spans(score.ratio, top, cells, {reference: 1.0}, reference, role),
        (fit_right(formats.ratio(score.ratio), 9), "good" if score.ratio >= 1 else ""),
        (fit_right(f"±{score.spread * 100:.1f}%", 8), "warn" if score.flags else "dim"),
    ]
