"""The run screen: the live view of one session."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from avo_tui.domain.records import LIVE_STATES
from avo_tui.ui import dialogs, formats
from avo_tui.ui.loader import Loader
from avo_tui.ui.panes.base import PanePainter, Selection, at_rest, subject_of
from avo_tui.ui.panes.device import device_row
from avo_tui.ui.panes.diff import DiffPainter
from avo_tui.ui.panes.lineage import LineageView
from avo_tui.ui.panes.output import OutputPainter
from avo_tui.ui.panes.plan import PlanPainter
from avo_tui.ui.panes.score import Chart, ScorePainter
from avo_tui.ui.screen import COMMON, AvoScreen, show_status
from avo_tui.ui.screens.run import looking, steering
from avo_tui.ui.screens.run.looking import ABSENCE, greet
from avo_tui.ui.screens.run.run import PANES, Run
from avo_tui.ui.screens.run.steering import ask_approval
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.status import headway_spans
from avo_tui.ui.text import Span, one_line
from avo_tui.ui.widgets.bars import ActionBar, DeviceLine, StatusLine, TabBar
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.long import LongView
from avo_tui.ui.widgets.pane import Pane


class RunScreen(AvoScreen):
    """Follows a run, or inspects any version of it while the run goes on."""

    ACTIONS = (
        *looking.replay,
        *looking.look,
        *steering.control,
        *steering.by_hand,
        *looking.lineage,
        *looking.PANE_ACTIONS,
        *looking.leaving,
        *COMMON,
    )
    BINDINGS: ClassVar[list[Any]] = [
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
            "Versions as a graph: ★ best (☆ timed on a busy machine alone), ● head, ○ version, "
            "✕ rejected, "
            "◌ running, · no decision of the gate. Ratio to the baseline from one run of the "
            "version; its gain, as the gate measured it by timing both in turn (≈ where two "
            "separate runs are compared); what was tried. "
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
            "Best so far as a line, every version as a point, baselines dotted. Heights are scores "
            "of single runs: a version that the gate measured to be faster may stand lower. "
            "↶ marks a rewind, ! an intervention of the supervisor. A click inspects the "
            "nearest version.",
        ),
    }

    def __init__(self) -> None:
        super().__init__()
        self.run = Run(self, self.repaint)
        self.loader: Loader | None = None
        self._painters: tuple[PanePainter, ...] = ()
        self._subject = Selection()
        """What the panes were painted for."""
        self._greeted = False
        self._device_wait = 0
        """Seconds until the row of the device is updated."""
        self._stage: tuple[object, ...] = ()
        """Step, attempt and stage that the row of the device was drawn for."""
        self._told: tuple[str, str] = ("", "")
        self._trouble = ""
        """The run state and reason that were last reported to the person."""

    @property
    def context(self) -> Run:
        return self.run

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        yield DeviceLine(id="device")
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
        yield ActionBar(id="actions")
        yield FindBar()

    def on_mount(self) -> None:
        self.loader = loader = Loader(self.app, self.repaint)
        diff, score = DiffPainter(self, loader), ScorePainter(self, loader)
        self.run.diff, self.run.score = diff, score
        self._painters = (PlanPainter(self, loader), diff, OutputPainter(self, loader), score)
        self.query_one("#plan-head", LinesView).can_focus = False
        self.query_one("#diff-view").add_class("-wide")
        self.query_one("#output-view").add_class("-wide")
        self.query_one("#device", DeviceLine).display = False
        self.run.panes.arrange()
        self.query_one("#lineage-view").focus()
        if self.host.latest is not None and not self._greeted:
            self._greeted = True
            self.call_after_refresh(greet, self.run)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        old, self.snapshot = self.snapshot, snapshot
        self.run.snapshot = snapshot
        if not self.ready:
            return
        self.repaint()
        waits = snapshot.pending_approval is not None
        waited = old is not None and old.pending_approval is not None
        before = None if old is None else (old.run_state, old.own, waited)
        if before != (snapshot.run_state, snapshot.own, waits):
            self.refresh_footer()
        if waits and not waited:
            ask_approval(self.run)

    def show_second(self) -> None:
        if self.snapshot is not None and self.ready:
            show_status(self, self.snapshot)
            self._show_device()

    def _show_device(self) -> None:
        """The device's row, at the pace of the samples; in low bandwidth half as often."""
        self._device_wait -= 1
        if self._device_wait > 0 and self.query_one("#device", DeviceLine).display:
            return
        self._device_wait = 10 if self.host.connection.low_bandwidth else 4
        feed, bar = self.host.session.feed, self.query_one("#device", DeviceLine)
        now, width, told = self.host.clock(), self.size.width, list[Span]()
        if self.snapshot is not None and self.snapshot.run_state in LIVE_STATES:
            told = headway_spans(self.snapshot, now, with_step=width < 100)
        row = device_row(feed.devices if feed is not None else {}, now, width, told)
        if bar.display != (row is not None):
            bar.display = row is not None
            self._device_wait = 0
        if row is not None:
            bar.set_row(row)

    def repaint(self) -> None:
        """Show the present snapshot and cursor; panes whose input is the same are left alone."""
        snapshot = self.snapshot
        if snapshot is None or not self.ready:
            return
        show_status(self, snapshot)
        live = snapshot.live
        view = live.attempt
        attempt = view and (view.attempt.number, view.current and view.current.stage)
        if self._stage != (stage := (live.number, live.ended, attempt)):
            self._stage, self._device_wait = stage, 0  # a check that is over is not told on
            self._show_device()
        self._tell_why(snapshot)
        lineage = self.run.lineage
        lineage.update_from(snapshot)
        if lineage.cursor is None:
            self.run.settled = None
        subject = subject_of(snapshot, self.run.settled)
        changed = subject.name != self._subject.name
        self._subject = subject
        self.query_one("#lineage", Pane).set_info(
            lineage_info(lineage, len(snapshot.versions), self.host.status_keys().live)
        )
        self.query_one("#lineage", Pane).set_columns(lineage.columns)
        resting = at_rest(snapshot) if subject.live else subject
        for painter in self._painters:
            painter.paint(snapshot, resting if painter.HEAD_AT_REST else subject, changed)

    def _tell_why(self, snapshot: Snapshot) -> None:
        """Report once why the run does not go on, or why it cannot be read; the status line has no
        room for it."""
        if snapshot.trouble != self._trouble:
            self._trouble = snapshot.trouble
            if snapshot.trouble:
                self.app.notify(
                    one_line(snapshot.trouble),
                    title="The session cannot be read",
                    severity="error",
                    timeout=20,
                    markup=False,
                )
        state, reason = snapshot.run_state, snapshot.session.state_reason
        if (state, reason) == self._told:
            return
        first, self._told = self._told == ("", ""), (state, reason)
        since = snapshot.session.state_since or snapshot.session.last_event_at
        if first and since is not None and self.host.clock() - since > ABSENCE:
            return  # not news: it has been so for long, and the status line shows it
        title = {"parked": "Parked", "stopped": "Stopped", "finished": "Finished"}.get(state)
        if title and reason and snapshot.replay is None:
            self.call_after_refresh(  # the first picture cannot show notices yet
                self.app.notify,
                one_line(reason),
                title=title,
                severity="information" if state == "finished" else "warning",
                timeout=12,
                markup=False,
            )

    # -- what the widgets report

    def fit(self) -> None:
        self.run.panes.arrange()
        self.run.settle()  # a screen above this one may have closed before it told of a move

    def on_resize(self) -> None:
        self.run.panes.arrange()
        self.call_after_refresh(self.repaint)

    def on_descendant_focus(self) -> None:
        self.run.panes.focus_moved()

    def action_next_pane(self, by: int) -> None:
        self.run.panes.next(by)

    def tapped(self, name: str) -> None:
        """On a phone a finger soon touches the wrong key, so what steers the run is asked again."""
        if not self.app.is_web or name not in {"approve", "pause"}:
            super().tapped(name)
            return
        label = next(label for action, _, label in self.footer() if action == name)
        question = dialogs.Confirm(
            label.capitalize(), f"{label} {self.run.known.session.name}?", label
        )
        self.host.ask(question, lambda _: self.action_act(name))

    @on(TabBar.Picked)
    def _tab_picked(self, event: TabBar.Picked) -> None:
        self.run.panes.show(PANES[event.index - 1])

    @on(LineageView.Picked)
    def _row_picked(self) -> None:
        self.run.moved()

    @on(LineageView.Opened)
    def _row_opened(self) -> None:
        """The story of what is under the cursor is in the plan's pane."""
        self.run.panes.show("plan")

    @on(LinesView.FollowChanged)
    def _follow_changed(self) -> None:
        self.repaint()

    @on(Chart.Clicked)
    def _chart_clicked(self, event: Chart.Clicked) -> None:
        self.run.inspect(self.run.score.version_at(event.share))

    def find(self, text: str, done: bool) -> str:
        return self.run.find(text)

    def searched(self) -> Widget:
        return self.run.searched_view

    @on(LongView.Searched)
    def _searched(self, event: LongView.Searched) -> None:
        self.query_one(FindBar).set_count(event.said)


def lineage_info(lineage: LineageView, versions: int, live_key: str) -> list[Span]:
    """What the heading of the lineage says at its right."""
    info: list[Span] = []
    if lineage.needle:
        matches = "match" if lineage.count == 1 else "matches"
        info += [(f"{lineage.count} {matches} ", "warn"), ("esc ends ", "dim")]
    if lineage.cursor is not None:
        info += [(" inspect ", "inspect"), (f" {live_key} ", "key"), ("live  ", "dim")]
    return [*info, (formats.many(versions, "version"), "dim")]
