"""`avo compare`: runs, or groups of runs, side by side at equal budget."""

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, BadParameter, Option, Typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import opened
from avo_tui.cli.terminal import emit, say, tell
from avo_tui.domain.budget import Spend
from avo_tui.domain.trajectory import (
    Arm,
    Axis,
    Interval,
    Trajectory,
    common_budget,
    mean,
    position,
    ratio,
)
from avo_tui.store import find_session
from avo_tui.ui.charts import MARKS, Curve, draw

AXES: dict[str, tuple[Axis, str]] = {
    "evaluations": ("evaluations", "evaluations"),
    "hours": ("hours", "hours of running"),
    "usd": ("usd", "US dollars"),
    "tokens": ("tokens", "tokens"),
}

app = Typer()


@app.command(epilog="Example: avo compare demo demo-2 --axis hours --out runs.svg")
def compare(
    names: Annotated[
        list[str],
        Argument(
            help="Two or more sessions; or groups of sessions that were made alike, as "
            "ARM=SESSION,SESSION: medians, ranges and 95% intervals.",
            metavar="SESSION...",
        ),
    ],
    axis: Annotated[
        str, Option(help="What the runs are compared over: " + ", ".join(AXES))
    ] = "evaluations",
    budget: Annotated[
        float | None,
        Option("--at", help="Compare at this budget, at most what every run has spent."),
    ] = None,
    out: Annotated[
        Path | None, Option(help="Also draw a picture: a .svg, .png or .pdf file.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="One JSON document.")] = False,
) -> None:
    """Compare runs: the best score against evaluations, time or dollars, at equal budget."""
    if axis not in AXES:
        raise BadParameter(f"it is one of {', '.join(AXES)}", param_hint="--axis")
    groups = _split(names)
    sessions = names if groups is None else [name for group in groups.values() for name in group]
    if len(set(sessions)) != len(sessions) or len(sessions) < 2:
        raise BadParameter("name two or more different sessions", param_hint="SESSION")
    key, label = AXES[axis]
    runs, task, baseline = _read(sessions)
    common = common_budget(runs.values(), key)
    if common <= 0:
        least = next(name for name, run in runs.items() if common_budget([run], key) <= 0)
        raise Failure(f"{least} has spent no {label}: compare over another --axis")
    if budget is not None and not 0 < budget <= common:
        raise BadParameter(
            f"every run has spent {common:g} {label}; name a number above 0 and at most that",
            param_hint="--at",
        )
    budget = common if budget is None else budget
    title = f"{task}: best ratio to {baseline}"
    arms = [Arm(arm, tuple(runs[n] for n in members)) for arm, members in (groups or {}).items()]
    if out is not None:
        _picture(out, runs, arms, key, label, title, budget)
    rows = {name: _row(name, run, key, budget) for name, run in runs.items()}
    if as_json:
        document: dict[str, Any] = {
            "task": task, "axis": key, "reference_baseline": baseline, "common_budget": budget
        }  # fmt: skip
        if groups is None:
            document["runs"] = list(rows.values())
        else:
            document["arms"] = _arm_forms(arms, key, budget)
            for form, members in zip(document["arms"], groups.values(), strict=True):
                form["runs"] = [rows[name] for name in members]
        emit(document)
        return
    if arms:
        say(f"{title} over {label}; the median of each arm's runs")
        _chart({a.name: [(x, m) for x, _, m, _ in a.course(key, budget)] for a in arms})
        _say_arms(arms, key, label, budget)
    else:
        say(f"{title} over {label}")
        _chart({n: [(position(p, key), p.best) for p in run.closed()] for n, run in runs.items()})
        _say_runs(list(rows.values()), key, budget)
    if out is not None:
        tell(f"picture: {out}")


def _split(words: Sequence[str]) -> dict[str, list[str]] | None:
    """Arm → sessions; None where the words are plain names of sessions, or their folders."""
    if not any("=" in word and not Path(word).is_dir() for word in words):
        return None
    arms: dict[str, list[str]] = {}
    for word in words:
        name, given, sessions = word.partition("=")
        members = [session for session in sessions.split(",") if session]
        if not given or not name or not members:
            raise BadParameter(
                f"{word!r}: give every arm as ARM=SESSION,SESSION", param_hint="SESSION"
            )
        if name in arms:
            raise BadParameter(f"the arm {name!r} is named twice", param_hint="SESSION")
        arms[name] = members
    return arms


def _read(names: list[str]) -> tuple[dict[str, Trajectory], str, str]:
    runs: dict[str, Trajectory] = {}
    tasks: dict[str, str] = {}
    baseline = ""
    folders: dict[Path, str] = {}
    for name in names:
        folder = find_session(name)
        same = folders.setdefault(folder.resolve(), name)
        if same != name:
            raise Failure(f"{same} and {name} are the same session: name each once")
        reader = opened(name)
        reader.poll()
        info = reader.state.session.task
        tasks[name], baseline = info.name, info.reference_baseline
        events = list(reader.events())
        missing = reader.state.session.applied - len({event.seq for event in events})
        if missing > 0:  # below 0 where the run goes on meanwhile
            tell(
                f"avo: warning: {name}: {missing} of its events cannot be read, so its figures may"
                f" be wrong; {reader.mend}"
            )
        runs[name] = Trajectory.of(events)
    if len(set(tasks.values())) > 1:
        what = ", ".join(f"{name} is of {task}" for name, task in tasks.items())
        raise Failure(f"only runs of the same task compare: {what}")
    return runs, next(iter(tasks.values())), baseline


def _row(name: str, run: Trajectory, axis: Axis, budget: float) -> dict[str, Any]:
    first = run.points[0].best if run.points else 0.0
    at_budget = run.best_at(axis, budget)
    points = [{"version": p.version, "best": p.best, **_spent(p.spend)} for p in run.points]
    return {
        "session": name,
        "first": first,
        "best": run.best,
        "best_at_common_budget": at_budget,
        "gain_at_common_budget": at_budget / first if first > 0 else 0.0,
        "improvements": max(0, len(run.points) - 1),
        **_spent(run.spend),
        "points": points,
    }


def _spent(spend: Spend) -> dict[str, float]:
    hours = spend.seconds / 3600
    return {
        "evaluations": spend.evaluations, "hours": hours, "usd": spend.usd, "tokens": spend.tokens
    }  # fmt: skip


def _arm_forms(arms: Sequence[Arm], axis: Axis, budget: float) -> list[dict[str, Any]]:
    """What is known of each arm at a budget; `against_first` compares it with the first arm."""
    forms = []
    for arm, scores, middle, against in _figures(arms, axis, budget):
        forms.append({
            "arm": arm.name,
            "scores": scores,
            "mean": asdict(middle) if middle else None,
            "against_first": asdict(against) if against else None,
        })  # fmt: skip
    return forms


def _figures(
    arms: Sequence[Arm], axis: Axis, budget: float
) -> list[tuple[Arm, list[float], Interval | None, Interval | None]]:
    """(arm, its runs' scores, their mean, its ratio to that of the first arm) of each arm."""
    every = [arm.scores(axis, budget) for arm in arms]
    return [
        (arm, scores, mean(scores), ratio(scores, every[0]) if index else None)
        for index, (arm, scores) in enumerate(zip(arms, every, strict=True))
    ]


def _chart(courses: dict[str, list[tuple[float, float]]]) -> None:
    curves = [Curve(name, tuple(course)) for name, course in courses.items()]
    say(*draw(curves, min(shutil.get_terminal_size((100, 40)).columns, 120), 16), "")


def _say_runs(rows: Sequence[dict[str, Any]], axis: Axis, budget: float) -> None:
    width = max(len(row["session"]) for row in rows)
    say(
        f"  {'session':{width}}  {'best':>7}  at {budget:g} {axis:<11}  {'× first':>8}"
        f"  {'evaluations':>11}  {'hours':>7}  {'usd':>8}"
    )
    for index, row in enumerate(rows):
        say(
            f"{MARKS[index % len(MARKS)]} {row['session']:{width}}  {row['best']:6.3f}×"
            f"  {row['best_at_common_budget']:6.3f}×{'':{len(f'{budget:g}') + 8}}"
            f"  {row['gain_at_common_budget']:7.2f}×"
            f"  {row['evaluations']:>11}  {row['hours']:7.2f}  {row['usd']:8.2f}"
        )


def _say_arms(arms: Sequence[Arm], axis: Axis, label: str, budget: float) -> None:
    figures = _figures(arms, axis, budget)
    table = _arm_table(figures, ranges=True)
    if max(map(len, table)) > shutil.get_terminal_size((100, 40)).columns:
        table = _arm_table(figures, ranges=False)
    say(
        *table,
        f"best ratio to the baseline within {budget:g} {label}; means are geometric, intervals by"
        " Student's t",
    )
    if any(len(arm.runs) < 2 for arm in arms):
        say("an arm of one run has no interval")
    if any(not all(scores) for _, scores, _, _ in figures):
        say("a run without a version by then counts 0; its arm has no mean and no interval")


def _arm_table(
    figures: Sequence[tuple[Arm, list[float], Interval | None, Interval | None]], *, ranges: bool
) -> list[str]:
    """A heading and a row for each arm, with the range of its runs or without it."""
    width = max(len("arm"), *(len(arm.name) for arm, *_ in figures))
    table = [("arm", "runs", "median", "lowest–highest", "mean (95%)", "over the first (95%)")]
    for index, (arm, scores, middle, against) in enumerate(figures):
        span = f"{min(scores):.3f}–{max(scores):.3f}"
        shown = (_text(middle), _text(against) if index else "")
        table.append((arm.name, str(len(scores)), f"{statistics.median(scores):.3f}", span, *shown))
    lines = []
    for index, (name, runs, median, span, average, over) in enumerate(table):
        mark = MARKS[(index - 1) % len(MARKS)] if index else " "
        cells = [f"{mark} {name:{width}}", f"{runs:>4}", f"{median:>7}"]
        cells += [f"{span:>15}"] if ranges else []
        lines.append("  ".join([*cells, f"{average:>22}", f"{over:>22}"]).rstrip())
    return lines


def _text(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return f"{interval.middle:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _picture(
    out: Path,
    runs: dict[str, Trajectory],
    arms: Sequence[Arm],
    axis: Axis,
    label: str,
    title: str,
    budget: float,
) -> None:
    """Draw the runs; or each arm's median, with its runs' range as a band."""
    if out.suffix not in {".svg", ".png", ".pdf"}:
        raise Failure(f"{out.name}: name a .svg, .png or .pdf file")
    try:
        from matplotlib.figure import Figure  # of the extra
    except ImportError as error:
        raise Failure("a picture needs matplotlib: pip install 'avo-tui[report]'") from error
    figure: Any = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(1.0, linestyle=":", color="grey", linewidth=1)
    axes.set(xlabel=label, ylabel="best score", title=title)
    for arm in arms:
        if course := arm.course(axis, budget):
            xs, low, middle, high = zip(*course, strict=True)
            name = f"{arm.name} ({len(arm.runs)} runs)"
            (drawn,) = axes.step(xs, middle, where="post", label=name)
            axes.fill_between(xs, low, high, step="post", alpha=0.15, color=drawn.get_color())
    for name, run in runs.items() if not arms else ():
        points = run.closed()
        places, best = [position(p, axis) for p in points], [p.best for p in points]
        (drawn,) = axes.step(places, best, where="post", label=name)
        axes.plot(places[:-1], best[:-1], "o", markersize=4, color=drawn.get_color())
    if not arms:
        axes.axvline(budget, linestyle="--", color="grey", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
