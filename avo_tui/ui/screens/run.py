"""The run screen: the live view of one session."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical

from avo_tui.ui import show
from avo_tui.ui.actions import bindings
from avo_tui.ui.feed import Snapshot
from avo_tui.ui.loader import Loader
from avo_tui.ui.screens.run_actions import RUN_ACTIONS
from avo_tui.ui.screens.run_by_hand import RunByHand
from avo_tui.ui.screens.run_commands import RunCommands
from avo_tui.ui.screens.run_content import Subject, subject_of
from avo_tui.ui.screens.run_diff import DiffPainter
from avo_tui.ui.screens.run_output import OutputPainter
from avo_tui.ui.screens.run_pane import PanePainter
from avo_tui.ui.screens.run_places import RunPlaces
from avo_tui.ui.screens.run_plan import PlanPainter
from avo_tui.ui.screens.run_score import ScorePainter
from avo_tui.ui.screens.run_walk import RunWalk
from avo_tui.ui.text import Span, one_line
from avo_tui.ui.views.status import status_line
from avo_tui.ui.widgets.bars import ActionBar, StatusLine, TabBar
from avo_tui.ui.widgets.chart import Chart
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.lineage import LineageView
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.long import LongView
from avo_tui.ui.widgets.pane import Pane


class RunScreen(RunCommands, RunByHand, RunPlaces, RunWalk):
    """Follows a run, or inspects any version of it while the run goes on."""

    ACTIONS = RUN_ACTIONS
    BINDINGS: ClassVar[list[Any]] = [
        *bindings(RUN_ACTIONS),
        Binding("tab", "next_pane(1)", show=False),
        Binding("shift+tab", "next_pane(-1)", show=False),
    ]
    ABOUT = (
        "A run, live. The lineage is at the left, newest first; plan, difference and output follow "
        "the running step until you move the lineage's cursor, and then show what is under it "
        "while the run goes on. l or esc goes back to live. Leaving with q does not stop the run."
    )
    PANES = {  # noqa: RUF012
        "lineage": (
            "Lineage",
            "Versions as a graph: ★ best, ● head, ○ version, ✕ rejected, "
            "◌ running. Ratio to the baseline, change from the parent, what was tried. "
            "Rejected attempts of a step are folded: enter or space unfolds them. "
            "Branches that the head has left are dim.",
        ),
        "plan": (
            "Plan",
            "What the operator wants to do in this step, and below it everything it "
            "says and does: prose, tools, hints where they were delivered, attempts.",
        ),
        "diff": (
            "Diff",
            "The working candidate against the version it was made from; of an "
            "inspected version, the change from its parent. Text selected with the mouse is "
            "copied without line numbers.",
        ),
        "output": (
            "Output",
            "What the harness says: the benchmark against each baseline, with "
            "spread (half of p20–p80) and change from the parent; checks; resources; the "
            "compiler's log.",
        ),
        "score": (
            "Score",
            "Best so far as a line, every version as a point, baselines dotted. "
            "↶ marks a rewind, ! an intervention of the supervisor. A click inspects the "
            "nearest version.",
        ),
    }

    def __init__(self) -> None:
        super().__init__()
        self._subject = Subject()
        self._greeted = False
        self._told: tuple[str, str] = ("", "")
        """The state and the reason that were told last."""
        self.loader: Loader | None = None
        self._painters: tuple[PanePainter, ...] = ()

    def compose(self) -> ComposeResult:
        """Status, tabs, panes, actions."""
        yield StatusLine(id="status")
        yield TabBar(id="tabs")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                with Pane(key="1", title="Lineage", id="lineage"):
                    yield LineageView(id="lineage-view")
                with Pane(key="5", title="Score", id="score"):
                    yield Chart(id="score-view")
            with Vertical(id="right"):
                with Pane(key="2", title="Plan", id="plan"):
                    yield LinesView(id="plan-head")
                    yield LinesView(id="plan-view", follow=True)
                with Pane(key="3", title="Diff", id="diff"):
                    yield LinesView(id="diff-view")
                with Pane(key="4", title="Output", id="output"):
                    yield LongView(id="output-view")
        yield FindBar()
        yield ActionBar(id="actions")

    def on_mount(self) -> None:
        """First picture."""
        self.loader = loader = Loader(self.app, self.repaint)
        self._diff, self._score = DiffPainter(self, loader), ScorePainter(self, loader)
        self._painters = (
            PlanPainter(self, loader),
            self._diff,
            OutputPainter(self, loader),
            self._score,
        )
        self.query_one("#plan-head", LinesView).can_focus = False
        self.query_one("#diff-view").add_class("-wide")
        self.query_one("#output-view").add_class("-wide")
        self.arrange_panes()
        self.query_one("#lineage-view").focus()
        if self.avo.latest is not None and not self._greeted:
            self._greeted = True
            self.call_after_refresh(self.greet)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Repaint what differs."""
        first = self.snapshot is None
        old = self.snapshot
        self.snapshot = snapshot
        if not self.ready:
            return
        self.repaint()
        if (
            first
            or old is None
            or (old.run_state, old.pending_approval is None)
            != (snapshot.run_state, snapshot.pending_approval is None)
        ):
            self.refresh_footer()
        if snapshot.pending_approval is not None and (old is None or old.pending_approval is None):
            self.ask_approval()

    def _tell_why(self, snapshot: Snapshot) -> None:
        """Why the run does not go on, once: there is no room for it in the status line."""
        state, reason = snapshot.run_state, snapshot.session.state_reason
        if (state, reason) == self._told:
            return
        self._told = (state, reason)
        title = {"parked": "Parked", "stopped": "Stopped", "finished": "Finished"}.get(state)
        if title and reason and snapshot.replay is None:
            self.call_after_refresh(  # a first picture has no place for notices yet
                self.app.notify,
                one_line(reason),
                title=title,
                severity="information" if state == "finished" else "warning",
                timeout=12,
                markup=False,
            )

    def show_second(self) -> None:
        """The clock of the status line."""
        if self.snapshot is not None and self.ready:
            self._status()

    def labels(self) -> dict[str, str]:
        """`pause` is `resume` where that is what it does."""
        if self.snapshot is None:
            return {}
        state = self.snapshot.run_state
        words = {"paused": "resume", "pausing": "go on", "parked": "go on now"}
        made = {"pause": words.get(state, "pause")}
        if state == "lost":
            made["start"] = "restart the engine"
        if self.snapshot.replay is not None:
            made["play"] = "stop" if self.snapshot.replay.playing else "play"
        return made

    def repaint(self) -> None:
        """Show the present snapshot and cursor; panes whose input is the same are left alone."""
        snapshot = self.snapshot
        if snapshot is None or not self.ready:
            return
        self._status()
        self._tell_why(snapshot)
        self.lineage.update_from(snapshot)
        if self.lineage.cursor is None:
            self.settled = None
        subject = subject_of(snapshot, self.settled)
        changed = subject.name != self._subject.name
        self._subject = subject
        self._lineage_info(snapshot)
        for painter in self._painters:
            painter.paint(snapshot, subject, changed)

    def _status(self) -> None:
        assert self.snapshot is not None
        bar = self.query_one("#status", StatusLine)
        can_start = self.avo.services.start_engine is not None
        bar.set_row(
            status_line(
                self.snapshot, self.size.width, self.avo.clock(), self.avo.status_keys(), can_start
            )
        )

    def _lineage_info(self, snapshot: Snapshot) -> None:
        count = len(snapshot.versions)
        info: list[Span] = []
        if self.lineage.needle:
            info.append((f"{len(self.lineage.lines)} match ", "warn"))
            info.append(("esc ends ", "dim"))
        if self.lineage.cursor is not None:
            info += [
                (" inspect ", "inspect"),
                (f" {self.avo.status_keys().live} ", "key"),
                ("live  ", "dim"),
            ]
        info.append((show.many(count, "version"), "dim"))
        self.query_one("#lineage", Pane).set_info(info)

    def do_chart_axis(self) -> None:
        """Versions or time."""
        self._score.toggle_axis()
        self.repaint()

    def do_chart_what(self) -> None:
        """The aggregate, or the next configuration."""
        if self.snapshot is not None:
            self._score.next_curve(self.snapshot)
            self.repaint()

    def do_sides(self) -> None:
        """Unified or side by side."""
        self._diff.toggle_sides()
        self.repaint()
