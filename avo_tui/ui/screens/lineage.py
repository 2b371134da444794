"""The lineage on the whole screen, with every detail of what is under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from avo_tui.domain.commands import Rewind
from avo_tui.domain.records import Version
from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions, Reason
from avo_tui.ui.dialogs import RewindDialog
from avo_tui.ui.loader import Failed
from avo_tui.ui.panes.base import subject_of, teach
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
from avo_tui.ui.screens import walking
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.text import BLANK, Line
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.pane import Pane

act = Actions["LineageScreen"]("lineage")


@act("enter", "Inspect it on the run screen.", footer=1, id="show", label="show in run")
def show_in_run(screen: LineageScreen) -> None:
    """Back to the run screen, on the row under the cursor; a folded row is unfolded here."""
    tree = screen.lineage
    key = tree.key_under
    if key is not None and key[0] in {"f", "s"}:
        tree.action_fold()
    else:
        screen.dismiss(None if key is None else (key, tree.unfolded))


def _on_version(screen: LineageScreen) -> Reason:
    reason = takes_commands(screen)
    if reason is not None:
        return reason
    return None if screen.version_in_hand is not None else "the cursor is not on a version"


@act("w", "Make the version under the cursor the head.", _on_version, footer=8)
def _rewind(screen: LineageScreen) -> None:
    assert screen.snapshot is not None and screen.version_in_hand is not None
    number = screen.version_in_hand.number

    def reason(text: str) -> None:
        screen.host.send(Rewind(version=number, reason=text), f"rewinding to v{number}")

    screen.host.ask(RewindDialog(screen.snapshot, number), reason)


act("v", "Mark a version for a comparison.", footer=2)(walking.mark)
act("c", "Compare the marked versions, or this one with its parent.", two_versions, footer=3)(
    walking.compare
)
act("B", "To the best version.", footer=4)(walking.best)
act("H", "To the head.", footer=5)(walking.head)
act("u", "To the parent.", footer=6)(walking.parent)
act("apostrophe", "To the next bookmark.", footer=7, label="bookmark")(walking.next_mark)


class LineageScreen(DetailScreen):
    """Graph at the left, details at the right; one above the other where it is narrow."""

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *DETAIL)
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
    def lineage(self) -> LineageView:
        return self.query_one("#tree", LineageView)

    def on_resize(self) -> None:
        """One pane where there is no room for two."""
        narrow = self.size.width < 100
        self.query_one("#detail").display = not narrow
        self.query_one("#lineage").styles.width = "1fr" if narrow else "50%"

    def repaint(self) -> None:
        assert self.snapshot is not None
        snapshot, tree = self.snapshot, self.lineage
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
        assert self.snapshot is not None
        snapshot = self.snapshot
        subject = subject_of(snapshot, self.lineage.cursor)
        pane, view = self.query_one("#detail", Pane), self.query_one("#detail-view", LinesView)
        pane.set_heading(subject.name)
        source = self.host.session.source
        if subject.live or source is None:
            open_attempt = snapshot.open_attempt is not None and self.lineage.cursor is not None
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

    def find(self, text: str, done: bool) -> str:
        count = self.lineage.filter(text)
        self.paint_again()
        return f"{count} rows"

    @property
    def version_in_hand(self) -> Version | None:
        if self.snapshot is None:
            return None
        return subject_of(self.snapshot, self.lineage.cursor).version
