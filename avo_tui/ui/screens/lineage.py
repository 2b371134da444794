"""The lineage on the whole screen, with every detail of what is under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from avo_tui.domain.commands import Rewind
from avo_tui.domain.records import Version
from avo_tui.ui import formats, screens
from avo_tui.ui.actions import Action, Actions, Reason
from avo_tui.ui.dialogs import RewindDialog
from avo_tui.ui.loader import Failed
from avo_tui.ui.panes.base import pair_to_compare, subject_of, teach
from avo_tui.ui.panes.graph import Key, key_of_version
from avo_tui.ui.panes.lineage import LineageView
from avo_tui.ui.panes.output import (
    Outcome,
    against,
    outcome_of_report,
    outcome_of_version,
    output_lines,
)
from avo_tui.ui.panes.plan import attempt_story, version_story
from avo_tui.ui.screen import takes_commands, two_versions
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.text import BLANK, Line
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.pane import Pane

act = Actions["LineageScreen"]("lineage")


@act("enter", "Inspect it on the run screen.", footer=1, id="show", label="show in run")
def show_in_run(screen: LineageScreen) -> None:
    """Back to the run screen, on the row under the cursor; a folded row is unfolded here."""
    tree = screen.tree_view
    key = tree.key_under
    if key is not None and key[0] in {"f", "s"}:
        tree.action_fold()
    else:
        screen.dismiss(None if key is None else (key, tree.unfolded))


def _go(screen: LineageScreen, number: int | None) -> None:
    if number is not None:
        screen.tree_view.pick(key_of_version(number))


def _on_version(screen: LineageScreen) -> Reason:
    reason = takes_commands(screen)
    if reason is not None:
        return reason
    return None if screen.version is not None else "the cursor is not on a version"


@act("w", "Make the version under the cursor the head.", _on_version, footer=8)
def _rewind(screen: LineageScreen) -> None:
    assert screen.snapshot is not None and screen.version is not None
    number = screen.version.number

    def reason(text: str | None) -> None:
        if text is not None:
            screen.host.send(Rewind(version=number, reason=text), f"rewinding to v{number}")

    screen.host.push_screen(RewindDialog(screen.snapshot, number), reason)


@act("v", "Mark a version for a comparison.", footer=2)
def _mark(screen: LineageScreen) -> None:
    if screen.version is not None:
        screen.tree_view.mark(screen.version.number)


@act("c", "Compare the marked versions, or this one with its parent.", two_versions, footer=3)
def _compare(screen: LineageScreen) -> None:
    assert screen.snapshot is not None
    version = screen.version
    marked = screen.tree_view.marked
    pair = pair_to_compare(screen.snapshot, marked, version.number if version else None)
    if pair is not None:
        screen.host.push_screen(screens.CompareScreen(*pair))


@act("B", "To the best version.", footer=4)
def _best(screen: LineageScreen) -> None:
    best = None if screen.snapshot is None else screen.snapshot.best
    _go(screen, None if best is None else best.number)


@act("H", "To the head.", footer=5)
def _head(screen: LineageScreen) -> None:
    _go(screen, None if screen.snapshot is None else screen.snapshot.session.head)


@act("u", "To the parent.", footer=6)
def _parent(screen: LineageScreen) -> None:
    if screen.snapshot is not None:
        _go(screen, subject_of(screen.snapshot, screen.tree_view.cursor).parent)


@act("apostrophe", "To the next bookmark.", footer=7, id="next_mark", label="bookmark")
def _next_bookmark(screen: LineageScreen) -> None:
    """To the next bookmark, from the newest to the oldest, round and round."""
    if screen.snapshot is None:
        return
    versions = screen.snapshot.versions
    marked = sorted((n for n, v in versions.items() if v.bookmark), reverse=True)
    if not marked:
        screen.app.notify("no version has a bookmark: m on the run screen sets one", timeout=3)
        return
    version = screen.version
    older = (n for n in marked if version is not None and n < version.number)
    _go(screen, next(older, marked[0]))


ACTIONS: tuple[Action[Any], ...] = (*act, *DETAIL)


class LineageScreen(DetailScreen):
    """Graph at the left, details at the right; one above the other where it is narrow."""

    ACTIONS = ACTIONS
    MAIN = "#tree"
    FIND = "/ filter"
    ABOUT = "The whole lineage. space folds and unfolds the rejected attempts of a step; / filters."
    PANES = {  # noqa: RUF012
        "lineage": (
            "Lineage",
            "★ best, ● head, ○ version, ✕ rejected, ◌ running, · no decision of the gate. Ratio to "
            "the baseline, gain at the gate (≈: of two separate runs), throughput.",
        ),
        "detail": ("Detail", "Score per configuration, resources, plan, gate, re-measurements."),
    }

    def __init__(self, start: Key | None = None) -> None:
        super().__init__()
        self._start = start

    def body(self) -> ComposeResult:
        with Horizontal(classes="two"):
            with Pane(key="1", title="Lineage", id="lineage"):
                yield LineageView(id="tree")
            with Pane(key="2", title="Detail", id="detail"):
                yield LinesView(id="detail-view")

    @property
    def tree_view(self) -> LineageView:
        return self.query_one("#tree", LineageView)

    def on_resize(self) -> None:
        """One pane where there is no room for two."""
        narrow = self.size.width < 100
        self.query_one("#detail").display = not narrow
        self.query_one("#lineage").styles.width = "1fr" if narrow else "50%"

    def repaint(self) -> None:
        assert self.snapshot is not None
        snapshot, tree = self.snapshot, self.tree_view
        tree.update_from(snapshot)
        if self._start is not None:
            start, self._start = self._start, None
            tree.pick(start, tell=False)
        elif tree.cursor is None and snapshot.session.head is not None and not tree.needle:
            tree.pick(key_of_version(snapshot.session.head), tell=False)
        versions = formats.many(len(snapshot.versions), "version")
        info = f"{versions} · {formats.many(len(snapshot.attempts), 'attempt')}"
        self.query_one("#lineage", Pane).set_info(
            [(f"{tree.count} matching", "warn")] if tree.needle else [(info, "dim")]
        )
        self.query_one("#lineage", Pane).set_columns(tree.columns)
        self._detail()

    def _detail(self) -> None:
        assert self.snapshot is not None and self.loader is not None
        snapshot = self.snapshot
        subject = subject_of(snapshot, self.tree_view.cursor)
        pane, view = self.query_one("#detail", Pane), self.query_one("#detail-view", LinesView)
        pane.set_heading(subject.name)
        source = self.host.session.source
        if subject.live or source is None:
            open_attempt = snapshot.open_attempt is not None and self.tree_view.cursor is not None
            rows = (
                teach("It is being evaluated.", "Its details are on the run screen.")
                if open_attempt
                else teach("No row is selected.", "esc shows all rows again.")
            )
            view.show(lambda width: rows)
            return
        outcome: Outcome | None = None
        version, attempt = subject.version, subject.attempt
        parent = snapshot.versions.get(subject.parent) if subject.parent is not None else None
        if version is not None:
            outcome = outcome_of_version(version, parent)
        elif attempt is not None and attempt.has_report:
            key = ("report", attempt.candidate, attempt.step, attempt.number)
            report = self.loader.get(key, lambda: source.report(attempt))
            if report is not None and not isinstance(report, Failed):
                outcome = against(outcome_of_report(report), parent)

        def build(width: int) -> Sequence[Line]:
            if version is not None:
                rows = version_story(version, width)
            else:
                assert attempt is not None
                rows = attempt_story(attempt, snapshot.open_step, width)
            if outcome is not None:  # the story tells the gate's decision
                rows += [BLANK, *output_lines(replace(outcome, decision=None), width)]
            return rows

        view.show(build)

    @on(LineageView.Picked)
    def _picked(self) -> None:
        self._detail()
        self.query_one("#detail-view", LinesView).action_scroll_home()

    @on(LineageView.Opened)
    def _opened(self) -> None:
        show_in_run(self)

    @on(FindBar.Changed)
    def find_changed(self, event: FindBar.Changed) -> None:
        count = self.tree_view.filter(event.text)
        self.searching = bool(event.text)
        self.query_one(FindBar).set_count(f"{count} rows")
        if event.done:
            self.tree_view.focus()
        self.paint_again()

    @on(FindBar.Closed)
    def find_closed(self) -> None:
        self.tree_view.filter("")
        self.searching = False
        self.tree_view.focus()
        self.paint_again()

    @property
    def version(self) -> Version | None:
        if self.snapshot is None:
            return None
        return subject_of(self.snapshot, self.tree_view.cursor).version
