"""Actions that change the view of the run screen: cursor, filter, panes, chart."""

from __future__ import annotations

from collections.abc import Callable

from avo_tui.ui.actions import Action, Reason
from avo_tui.ui.screens.run.parts import PANES, RunParts


def _inspecting(run: RunParts) -> Reason:
    if run.scene.cursor is not None or run.arrangement.zoomed or run.scene.filtered:
        return None
    return "the run is followed already"


LIVE = Action[RunParts](
    "live",
    "l,escape",
    "live",
    "Leave what is inspected and follow the run again.",
    "look",
    run=lambda run: run.walk.live(),
    why_not=_inspecting,
    footer=6,
    quiet=True,
)
FILTER = Action[RunParts](
    "filter",
    "slash",
    "filter",
    "Filter the lineage, or find text in another pane.",
    "look",
    run=lambda run: run.finder.open(),
    footer=22,
)
NEXT_HIT = Action[RunParts](
    "next_hit",
    "n",
    "next hit",
    "The next row that was found.",
    "look",
    run=lambda run: run.finder.next_hit(),
)
COPY = Action[RunParts](
    "copy",
    "y",
    "copy",
    "Copy what the focused pane shows, without gutters.",
    "look",
    run=lambda run: run.finder.copy(),
)
ZOOM = Action[RunParts](
    "zoom",
    "z",
    "zoom",
    "The focused pane alone on the screen, and back.",
    "look",
    run=lambda run: run.arrangement.toggle_zoom(),
    footer=24,
)


def _sides(run: RunParts) -> None:
    if run.diff is not None:
        run.diff.toggle_sides()
        run.scene.repaint()


SIDES = Action(
    "sides",
    "d",
    "side by side",
    "The difference unified, or side by side.",
    "look",
    run=_sides,
)


def _chart_axis(run: RunParts) -> None:
    if run.score is not None:
        run.score.toggle_axis()
        run.scene.repaint()


CHART_AXIS = Action(
    "chart_axis",
    "a",
    "chart axis",
    "The chart over versions, or over time.",
    "look",
    run=_chart_axis,
)


def _chart_span(run: RunParts) -> None:
    if run.score is not None and run.snapshot is not None:
        version = run.scene.subject.version
        run.score.next_span(run.snapshot, None if version is None else version.number)
        run.scene.repaint()


CHART_SPAN = Action(
    "chart_span",
    "W",
    "chart since",
    "The chart of the last hour, since yesterday, since the version in hand, or of all.",
    "look",
    run=_chart_span,
)


def _chart_what(run: RunParts) -> None:
    if run.score is not None and run.snapshot is not None:
        run.score.next_curve(run.snapshot)
        run.scene.repaint()


CHART_WHAT = Action(
    "chart_what",
    "o",
    "chart of",
    "The chart of the aggregate, or of one configuration.",
    "look",
    run=_chart_what,
)


def _best(run: RunParts) -> None:
    best = None if run.snapshot is None else run.snapshot.best
    run.walk.inspect(None if best is None else best.number)


def _head(run: RunParts) -> None:
    run.walk.inspect(None if run.snapshot is None else run.snapshot.session.head)


def _mark(run: RunParts) -> None:
    version = run.scene.version_in_hand
    if version is not None:
        run.scene.lineage.mark(version.number)


BEST = Action("best", "B", "best", "To the best version.", "lineage", run=_best)
HEAD = Action("head", "H", "head", "To the head.", "lineage", run=_head)
PARENT = Action[RunParts](
    "parent",
    "u",
    "parent",
    "To the parent of what is under the cursor.",
    "lineage",
    run=lambda run: run.walk.parent(),
)
NEXT_BOOKMARK = Action[RunParts](
    "next_mark",
    "apostrophe",
    "next bookmark",
    "To the next bookmark.",
    "lineage",
    run=lambda run: run.walk.next_bookmark(),
)
MARK = Action("mark", "v", "mark", "Mark a version for a comparison.", "lineage", run=_mark)


def _shows(pane: str) -> Callable[[RunParts], None]:
    return lambda run: run.arrangement.show(pane)


_HELP = {
    "lineage": "To the lineage.",
    "plan": "To the plan.",
    "diff": "To the difference.",
    "output": "To the output.",
    "score": "To the score chart.",
}
PANE_ACTIONS = tuple(
    Action(f"pane{number}", str(number), name, _HELP[name], "panes", run=_shows(name))
    for number, name in enumerate(PANES, 1)
)
