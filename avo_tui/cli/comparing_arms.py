"""`avo compare ARM=SESSION,SESSION …`: groups of runs side by side at equal budget."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from avo_tui.cli.pictures import figure_for, save
from avo_tui.domain.trajectory import Arm, Axis, Interval, mean, ratio
from avo_tui.ui.charts import MARKS, Curve, draw


def split(words: Sequence[str]) -> dict[str, list[str]] | None:
    """Arm → sessions; None where the words are plain names of sessions, or their folders."""
    if not any("=" in word and not Path(word).is_dir() for word in words):
        return None
    arms: dict[str, list[str]] = {}
    for word in words:
        name, given, sessions = word.partition("=")
        members = [session for session in sessions.split(",") if session]
        if not given or not name or not members:
            raise typer.BadParameter(
                f"{word!r}: give every arm as ARM=SESSION,SESSION", param_hint="SESSION"
            )
        if name in arms:
            raise typer.BadParameter(f"the arm {name!r} is named twice", param_hint="SESSION")
        arms[name] = members
    return arms


def rows(arms: Sequence[Arm], axis: Axis, budget: float) -> list[dict[str, Any]]:
    """What is known of each arm at a budget; `against_first` compares it with the first arm."""
    first = arms[0].scores(axis, budget)
    table = []
    for index, arm in enumerate(arms):
        scores = arm.scores(axis, budget)
        middle, against = mean(scores), ratio(scores, first) if index else None
        table.append(
            {
                "arm": arm.name,
                "scores": scores,
                "mean": asdict(middle) if middle else None,
                "against_first": asdict(against) if against else None,
            }
        )
    return table


def show(arms: Sequence[Arm], axis: Axis, label: str, title: str, budget: float) -> None:
    """Print the chart of medians and the table."""
    curves = [
        Curve(arm.name, tuple((x, middle) for x, _, middle, _ in arm.course(axis, budget)))
        for arm in arms
    ]
    columns = shutil.get_terminal_size((100, 40)).columns
    typer.echo(f"{title} over {label}; the median of each arm's runs")
    for text in draw(curves, min(columns, 120), 16):
        typer.echo(text)
    typer.echo("")
    table = _table(arms, axis, budget, ranges=True)
    if max(map(len, table)) > columns:
        table = _table(arms, axis, budget, ranges=False)
    for text in table:
        typer.echo(text)
    typer.echo(
        f"best ratio to the baseline within {budget:g} {label}; means are geometric, intervals by"
        " Student's t"
    )
    if any(len(arm.runs) < 2 for arm in arms):
        typer.echo("an arm of one run has no interval")
    if any(not all(arm.scores(axis, budget)) for arm in arms):
        typer.echo("a run without a version by then counts 0; its arm has no mean and no interval")


def _table(arms: Sequence[Arm], axis: Axis, budget: float, *, ranges: bool) -> list[str]:
    """A heading and a row for each arm, with the range of its runs or without it."""
    width = max(len("arm"), *(len(arm.name) for arm in arms))
    first = arms[0].scores(axis, budget)
    table = [("arm", "runs", "median", "lowest–highest", "mean (95%)", "over the first (95%)")]
    for index, arm in enumerate(arms):
        scores = arm.scores(axis, budget)
        table.append(
            (
                arm.name,
                str(len(scores)),
                f"{statistics.median(scores):.3f}",
                f"{min(scores):.3f}–{max(scores):.3f}",
                _text(mean(scores)),
                _text(ratio(scores, first)) if index else "",
            )
        )
    lines = []
    for index, (name, runs, median, span, middle, against) in enumerate(table):
        mark = MARKS[(index - 1) % len(MARKS)] if index else " "
        cells = [f"{mark} {name:{width}}", f"{runs:>4}", f"{median:>7}"]
        cells += [f"{span:>15}"] if ranges else []
        lines.append("  ".join([*cells, f"{middle:>22}", f"{against:>22}"]).rstrip())
    return lines


def picture(
    out: Path, arms: Sequence[Arm], axis: Axis, label: str, title: str, budget: float
) -> None:
    """Draw each arm's median, and its runs' range as a band."""
    figure, axes = figure_for(out, label, title)
    for arm in arms:
        course = arm.course(axis, budget)
        if not course:
            continue
        xs, low, middle, high = zip(*course, strict=True)
        (drawn,) = axes.step(xs, middle, where="post", label=f"{arm.name} ({len(arm.runs)} runs)")
        axes.fill_between(xs, low, high, step="post", alpha=0.15, color=drawn.get_color())
    save(figure, axes, out)


def _text(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return f"{interval.middle:.3f} ({interval.low:.3f} to {interval.high:.3f})"
