"""Formats the scores of two versions together: two bars per configuration, on one scale."""

from __future__ import annotations

from rich.cells import cell_len

from avo_tui.domain.changes import ABOUT, difference
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.ui import formats
from avo_tui.ui.panes.output.benchmark import bar_spans, change_span
from avo_tui.ui.text import Line, Span, fit, fit_right, line, one_line


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
