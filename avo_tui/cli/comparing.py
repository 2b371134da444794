"""`avo compare`: runs side by side at equal budget."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from avo_tui.cli import comparing_arms
from avo_tui.cli.errors import Failure
from avo_tui.cli.pictures import figure_for, save
from avo_tui.domain.trajectory import Arm, Axis, Trajectory, common_budget, position
from avo_tui.store import SessionReader, find_session
from avo_tui.ui.charts import MARKS, Curve, draw

AXES: dict[str, tuple[Axis, str]] = {
    "evaluations": ("evaluations", "evaluations"),
    "hours": ("hours", "hours of running"),
    "usd": ("usd", "US dollars"),
    "tokens": ("tokens", "tokens"),
}


app = typer.Typer()


@app.command(epilog="Example: avo compare demo demo-2 --axis hours --out runs.svg")
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Two or more sessions; or groups of sessions that were made alike, as "
            "ARM=SESSION,SESSION: medians, ranges and 95% intervals.",
            metavar="SESSION...",
        ),
    ],
    axis: Annotated[
        str, typer.Option("--axis", help="What the runs are compared over: " + ", ".join(AXES))
    ] = "evaluations",
    budget: Annotated[
        float | None,
        typer.Option("--at", help="Compare at this budget, at most what every run has spent."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also draw a picture: a .svg, .png or .pdf file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Compare runs: the best score against evaluations, time or dollars, at equal budget."""
    if axis not in AXES:
        raise typer.BadParameter(f"it is one of {', '.join(AXES)}", param_hint="--axis")
    arms = comparing_arms.split(names)
    sessions = names if arms is None else [name for group in arms.values() for name in group]
    if len(set(sessions)) != len(sessions) or len(sessions) < 2:
        raise typer.BadParameter("name two or more different sessions", param_hint="SESSION")
    key, label = AXES[axis]
    runs, task, baseline = _read(sessions)
    common = common_budget(runs.values(), key)
    if common <= 0:
        least = next(name for name, run in runs.items() if common_budget([run], key) <= 0)
        raise Failure(f"{least} has spent no {label}: compare over another --axis")
    budget = _budget(budget, common, label)
    title = f"{task}: best ratio to {baseline}"
    document = {"task": task, "axis": key, "reference_baseline": baseline, "common_budget": budget}
    if arms is not None:
        groups = [Arm(arm, tuple(runs[n] for n in members)) for arm, members in arms.items()]
        if out is not None:
            comparing_arms.picture(out, groups, key, label, title, budget)
        if as_json:
            table = comparing_arms.rows(groups, key, budget)
            for row, members in zip(table, arms.values(), strict=True):
                row["runs"] = [_row(name, runs[name], key, budget) for name in members]
            typer.echo(json.dumps({**document, "arms": table}, indent=2))
        else:
            comparing_arms.show(groups, key, label, title, budget)
    else:
        rows = [_row(name, run, key, budget) for name, run in runs.items()]
        if out is not None:
            _picture(out, runs, key, label, title, budget)
        if as_json:
            typer.echo(json.dumps({**document, "runs": rows}, indent=2))
        else:
            _print(runs, rows, key, label, task, baseline, budget)
    if out is not None and not as_json:
        typer.echo(f"picture: {out}", err=True)


def _budget(asked: float | None, common: float, label: str) -> float:
    if asked is None:
        return common
    if not 0 < asked <= common:
        raise typer.BadParameter(
            f"every run has spent {common:g} {label}; name a number above 0 and at most that",
            param_hint="--at",
        )
    return asked


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
        reader = SessionReader.open(folder)
        reader.poll()
        info = reader.state.session.task
        tasks[name], baseline = info.name, info.reference_baseline
        events = list(reader.events())
        missing = reader.state.session.applied - len({event.seq for event in events})
        if missing > 0:  # below 0 where the run goes on meanwhile
            typer.echo(
                f"avo: warning: {name}: {missing} of its events cannot be read, so its figures may"
                f" be wrong: `avo doctor {name}` says more",
                err=True,
            )
        runs[name] = Trajectory.of(events)
    if len(set(tasks.values())) > 1:
        what = ", ".join(f"{name} is of {task}" for name, task in tasks.items())
        raise Failure(f"only runs of the same task compare: {what}")
    return runs, next(iter(tasks.values())), baseline


def _row(name: str, run: Trajectory, axis: Axis, budget: float) -> dict[str, Any]:
    first = run.points[0].best if run.points else 0.0
    at_budget = run.best_at(axis, budget)
    return {
        "session": name,
        "first": first,
        "best": run.best,
        "best_at_common_budget": at_budget,
        "gain_at_common_budget": at_budget / first if first > 0 else 0.0,
        "improvements": max(0, len(run.points) - 1),
        "evaluations": run.spend.evaluations,
        "hours": run.spend.seconds / 3600,
        "usd": run.spend.usd,
        "tokens": run.spend.tokens,
        "points": [
            {
                "version": p.version,
                "best": p.best,
                "evaluations": p.spend.evaluations,
                "hours": p.spend.seconds / 3600,
                "usd": p.spend.usd,
                "tokens": p.spend.tokens,
            }
            for p in run.points
        ],
    }


def _print(
    runs: dict[str, Trajectory],
    rows: list[dict[str, Any]],
    axis: Axis,
    label: str,
    task: str,
    baseline: str,
    budget: float,
) -> None:

    curves = [
        Curve(name, tuple((position(p, axis), p.best) for p in run.closed()))
        for name, run in runs.items()
    ]
    size = shutil.get_terminal_size((100, 40))
    typer.echo(f"{task}: best ratio to {baseline} over {label}")
    for text in draw(curves, min(size.columns, 120), 16):
        typer.echo(text)
    width = max(len(name) for name in runs)
    typer.echo(
        f"\n  {'session':{width}}  {'best':>7}  at {budget:g} {axis:<11}  {'× first':>8}"
        f"  {'evaluations':>11}  {'hours':>7}  {'usd':>8}"
    )
    for index, row in enumerate(rows):
        typer.echo(
            f"{MARKS[index % len(MARKS)]} {row['session']:{width}}  {row['best']:6.3f}×"
            f"  {row['best_at_common_budget']:6.3f}×{'':{len(f'{budget:g}') + 8}}"
            f"  {row['gain_at_common_budget']:7.2f}×"
            f"  {row['evaluations']:>11}  {row['hours']:7.2f}  {row['usd']:8.2f}"
        )


def _picture(
    out: Path,
    runs: dict[str, Trajectory],
    axis: Axis,
    label: str,
    title: str,
    budget: float,
) -> None:

    figure, axes = figure_for(out, label, title)
    for name, run in runs.items():
        points = run.closed()
        xs, ys = [position(p, axis) for p in points], [p.best for p in points]
        (drawn,) = axes.step(xs, ys, where="post", label=name)
        axes.plot(xs[:-1], ys[:-1], "o", markersize=4, color=drawn.get_color())
    axes.axvline(budget, linestyle="--", color="grey", linewidth=0.8)
    save(figure, axes, out)
