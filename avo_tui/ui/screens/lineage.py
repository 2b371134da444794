"""The lineage on the whole screen, with every detail of what is under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from avo_tui.domain.records import Version
from avo_tui.ui import show
from avo_tui.ui.actions import Action, Reason, bindings
from avo_tui.ui.graph import Key, key_of_version
from avo_tui.ui.loader import Failed
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.screens.run_content import against, outcome_of_version, subject_of, teach
from avo_tui.ui.text import BLANK, Line
from avo_tui.ui.views.output import Outcome, outcome_of_report, output_lines
from avo_tui.ui.views.plan import attempt_story, version_story
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.lineage import LineageView
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.pane import Pane


def _two(screen: Any) -> Reason:
    if screen.snapshot is None or len(screen.snapshot.versions) < 2:
        return "there are not two versions yet"
    return None


ACTIONS = (
    Action("show", "enter", "show in run", "Inspect it on the run screen.", "lineage", 1),
    Action("mark", "v", "mark", "Mark a version for a comparison.", "lineage", 2),
    Action(
        "compare",
        "c",
        "compare",
        "Compare the marked versions, or this one with its parent.",
        "lineage",
        3,
        _two,
    ),
    Action("best", "B", "best", "To the best version.", "lineage", 4),
    Action("head", "H", "head", "To the head.", "lineage", 5),
    Action("parent", "u", "parent", "To the parent.", "lineage", 6),
    Action("next_mark", "apostrophe", "bookmark", "To the next bookmark.", "lineage", 7),
    *DETAIL,
)


class LineageScreen(DetailScreen):
    """Graph at the left, details at the right; one above the other where it is narrow."""

    ACTIONS = ACTIONS
    BINDINGS: ClassVar[list[Any]] = bindings(ACTIONS)
    MAIN = "#tree"
    ABOUT = "The whole lineage. space folds and unfolds the rejected attempts of a step; / filters."
    PANES = {  # noqa: RUF012
        "lineage": ("Lineage", "★ best, ● head, ○ version, ✕ rejected, ◌ running."),
        "detail": ("Detail", "Score per configuration, resources, plan, gate, re-measurements."),
    }

    def __init__(self, at: Key | None = None) -> None:
        super().__init__()
        self._start = at

    def body(self) -> ComposeResult:
        """Graph and detail."""
        with Horizontal(classes="two"):
            with Pane(key="1", title="Lineage", id="lineage"):
                yield LineageView(id="tree")
            with Pane(key="2", title="Detail", id="detail"):
                yield LinesView(id="detail-view")

    @property
    def tree_view(self) -> LineageView:
        """The graph."""
        return self.query_one("#tree", LineageView)

    def on_resize(self) -> None:
        """One pane where there is no room for two."""
        narrow = self.size.width < 100
        self.query_one("#detail").display = not narrow
        self.query_one("#lineage").styles.width = "1fr" if narrow else "50%"

    def repaint(self) -> None:
        """Graph and detail."""
        assert self.snapshot is not None
        snapshot, tree = self.snapshot, self.tree_view
        tree.update_from(snapshot)
        if self._start is not None:
            start, self._start = self._start, None
            tree.pick(start, tell=False)
        elif tree.cursor is None and snapshot.session.head is not None and not tree.needle:
            tree.pick(key_of_version(snapshot.session.head), tell=False)
        versions = show.many(len(snapshot.versions), "version")
        info = f"{versions} · {show.many(len(snapshot.attempts), 'attempt')}"
        self.query_one("#lineage", Pane).set_info(
            [(f"{len(tree.lines)} match", "warn")] if tree.needle else [(info, "dim")]
        )
        self._detail()

    def _detail(self) -> None:
        assert self.snapshot is not None and self.loader is not None
        snapshot = self.snapshot
        subject = subject_of(snapshot, self.tree_view.cursor)
        pane, view = self.query_one("#detail", Pane), self.query_one("#detail-view", LinesView)
        pane.set_heading(subject.name)
        feed = self.avo.feed
        if subject.live or feed is None:
            view.show(
                lambda width: teach("It is being evaluated.", "Its details are on the run screen.")
            )
            return
        outcome: Outcome | None = None
        version, attempt = subject.version, subject.attempt
        parent = snapshot.versions.get(subject.parent) if subject.parent is not None else None
        if version is not None:
            outcome = outcome_of_version(version, parent)
        elif attempt is not None and attempt.report is not None:
            found = self.loader.get(("report", attempt.report), lambda: feed.source.report(attempt))
            if found is not None and not isinstance(found, Failed):
                outcome = against(outcome_of_report(found), parent)

        def build(width: int) -> Sequence[Line]:
            rows = version_story(version, width) if version else attempt_story(attempt, width)  # type: ignore[arg-type]
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
        self.do_show()

    def do_show(self) -> None:
        """Back to the run screen, on this row."""
        from avo_tui.ui.screens.run import RunScreen

        drawn = self.tree_view.key_under
        if drawn is not None and drawn[0] == "f":
            self.tree_view.action_fold()
            return
        self.app.pop_screen()
        if isinstance(self.app.screen, RunScreen) and drawn is not None:
            self.app.screen.lineage.unfolded = self.tree_view.unfolded
            self.app.screen.repaint()
            self.app.screen.lineage.pick(drawn)

    def do_filter(self) -> None:
        """Filter the graph."""
        self.query_one(FindBar).open("/ filter")

    @on(FindBar.Changed)
    def find_changed(self, event: FindBar.Changed) -> None:
        """Filter as it is typed."""
        count = self.tree_view.filter(event.text)
        self._found = bool(event.text)
        self.query_one(FindBar).set_count(f"{count} rows")
        if event.done:
            self.tree_view.focus()
        self._again()

    @on(FindBar.Closed)
    def find_closed(self) -> None:
        """Show all rows again."""
        self.tree_view.filter("")
        self._found = False
        self.tree_view.focus()
        self._again()

    def _version(self) -> Version | None:
        if self.snapshot is None:
            return None
        return subject_of(self.snapshot, self.tree_view.cursor).version

    def do_mark(self) -> None:
        """Mark for a comparison."""
        version = self._version()
        if version is not None:
            self.tree_view.mark(version.number)

    def do_compare(self) -> None:
        """Compare the marked ones."""
        from avo_tui.ui.screens.compare import CompareScreen, pair_to_compare

        version = self._version()
        assert self.snapshot is not None
        pair = pair_to_compare(
            self.snapshot, self.tree_view.marked, version.number if version else None
        )
        if pair is not None:
            self.app.push_screen(CompareScreen(*pair))

    def _go(self, number: int | None) -> None:
        if number is not None:
            self.tree_view.pick(key_of_version(number))

    def do_best(self) -> None:
        """To the best."""
        self._go(self.snapshot.best.number if self.snapshot and self.snapshot.best else None)

    def do_head(self) -> None:
        """To the head."""
        self._go(self.snapshot.session.head if self.snapshot else None)

    def do_parent(self) -> None:
        """To the parent."""
        if self.snapshot is not None:
            self._go(subject_of(self.snapshot, self.tree_view.cursor).parent)

    def do_next_mark(self) -> None:
        """To the next bookmark."""
        if self.snapshot is None:
            return
        marked = sorted((n for n, v in self.snapshot.versions.items() if v.bookmark), reverse=True)
        version = self._version()
        if not marked:
            self.app.notify("no version has a bookmark: m on the run screen sets one", timeout=3)
            return
        self._go(next((n for n in marked if version is not None and n < version.number), marked[0]))
