"""The run screen: the live view of one session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widget import Widget

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Version
from avo_tui.ui import diffs
from avo_tui.ui.actions import bindings
from avo_tui.ui.feed import Snapshot
from avo_tui.ui.graph import Key, key_of_version
from avo_tui.ui.loader import Failed, Loader
from avo_tui.ui.screens.base import AvoScreen
from avo_tui.ui.screens.run_actions import RUN_ACTIONS
from avo_tui.ui.screens.run_commands import RunCommands
from avo_tui.ui.screens.run_content import (
    Subject,
    against,
    chart_data,
    edit_info,
    outcome_of_version,
    subject_of,
    teach,
)
from avo_tui.ui.steps import StepView, fold
from avo_tui.ui.text import BLANK, Line, Span, line
from avo_tui.ui.views.diff import SIDE_BY_SIDE, diff_lines
from avo_tui.ui.views.output import (
    Outcome,
    outcome_of_attempt,
    outcome_of_report,
    output_lines,
    stage_spans,
)
from avo_tui.ui.views.plan import attempt_story, plan_lines, stream_lines, version_story
from avo_tui.ui.views.status import status_line
from avo_tui.ui.widgets.bars import ActionBar, StatusLine, TabBar
from avo_tui.ui.widgets.chart import Chart
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.lineage import LineageView
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.pane import Pane

PANES = ("lineage", "plan", "diff", "output", "score")
NAMES = {"lineage": "Lineage", "plan": "Plan", "diff": "Diff", "output": "Output", "score": "Score"}
REST_SECONDS = 0.15
WIDE, MEDIUM, TALL = 120, 100, 30
"""Columns from which all panes are shown; from which two are; rows below which tabs are used."""


def arrangement(width: int, height: int) -> str:
    """`wide`: all panes. `medium`: the lineage, and one other beside it. `tabs`: one."""
    if width >= WIDE and height >= TALL:
        return "wide"
    return "medium" if width >= MEDIUM else "tabs"


class RunScreen(RunCommands, AvoScreen):
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
        self.snapshot: Snapshot | None = None
        self.active = "lineage"
        self.zoomed = False
        self.sides: bool | None = None
        self.by_time = False
        self.configuration: str | None = None
        self._arranged = ""
        self._shown: dict[str, object] = {}
        self._subject = Subject()
        self._find_target = ""
        self._greeted = False
        self._settled: Key | None = None
        """What the panes show; follows the cursor once it rests."""
        self._streamed = ""
        """Whose stream the plan pane shows."""
        self._moved_at = 0.0
        self._rest: Timer | None = None
        self.loader: Loader | None = None

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
                    yield LinesView(id="output-view")
        yield FindBar()
        yield ActionBar(id="actions")

    def on_mount(self) -> None:
        """First picture."""
        self.loader = Loader(self.app, self.repaint)
        self.query_one("#plan-head", LinesView).can_focus = False
        self.query_one("#diff-view").add_class("-wide")
        self.query_one("#output-view").add_class("-wide")
        self._arrange()
        self.query_one("#lineage-view").focus()
        if self.avo.latest is not None and not self._greeted:
            self._greeted = True
            self.call_after_refresh(self.greet)

    # -- arrangement

    def on_resize(self) -> None:
        """Panes as the size allows."""
        self._arrange()
        self.call_after_refresh(self.repaint)

    def _arrange(self) -> None:
        how = arrangement(self.size.width, self.size.height)
        solo = self.zoomed or how == "tabs"
        basis = f"{how}{solo}{self.active}"
        if basis != self._arranged:
            self._arranged = basis
            self.set_class(solo, "-solo")
            self.set_class(how == "medium" and not solo, "-medium")
            right = [p for p in PANES if p not in {"lineage", "score"}]
            shown = set(PANES)
            if solo:
                shown = {self.active}
            elif how == "medium":
                shown = {
                    "lineage",
                    "score",
                    self.active if self.active in right else self._last_right(),
                }
            for name in PANES:
                self.query_one(f"#{name}").display = name in shown
            self.query_one("#left").display = bool(shown & {"lineage", "score"})
            self.query_one("#right").display = bool(shown & set(right))
            tabs = self.query_one("#tabs", TabBar)
            tabs.display = how != "wide" or self.zoomed
            self._mark_right()
        self._draw_tabs(how)

    def _last_right(self) -> str:
        return getattr(self, "_right", "plan")

    def _mark_right(self) -> None:
        if self.active in {"plan", "diff", "output"}:
            self._right = self.active

    def _draw_tabs(self, how: str) -> None:
        names = [(i + 1, NAMES[p]) for i, p in enumerate(PANES)]
        active = PANES.index(self.active) + 1
        self.query_one("#tabs", TabBar).show_tabs(names, active)

    def do_pane(self, name: str) -> None:
        """Focus a pane, showing it if it is hidden."""
        self.active = name
        self._arrange()
        self.query_one(f"#{name}-view").focus()
        self.call_after_refresh(self.repaint)

    do_pane1 = do_pane2 = do_pane3 = do_pane4 = do_pane5 = do_pane

    def action_next_pane(self, way: int) -> None:
        """The next pane in the order of the numbers."""
        current = self.pane_of_focus() or self.active
        self.do_pane(PANES[(PANES.index(current) + way) % len(PANES)])

    @on(TabBar.Picked)
    def _tab_picked(self, event: TabBar.Picked) -> None:
        self.do_pane(PANES[event.index - 1])

    def on_descendant_focus(self) -> None:
        """The active pane is the focused one."""
        pane = self.pane_of_focus()
        if pane is not None and pane != self.active:
            self.active = pane
            self._mark_right()
            self._draw_tabs(arrangement(self.size.width, self.size.height))

    def do_zoom(self) -> None:
        """The focused pane alone, and back."""
        self.zoomed = not self.zoomed
        self._arrange()
        self.call_after_refresh(self.repaint)

    # -- what is shown

    @property
    def lineage(self) -> LineageView:
        """The lineage's view."""
        return self.query_one("#lineage-view", LineageView)

    @property
    def cursor(self) -> object:
        """What is inspected; None while the run is followed."""
        return self.lineage.cursor if self.ready else None

    @property
    def version_in_hand(self) -> Version | None:
        """The version under the cursor; the head while the run is followed."""
        if self.snapshot is None:
            return None
        subject = subject_of(self.snapshot, self.lineage.cursor)
        if subject.version is not None:
            return subject.version
        if subject.attempt is not None:
            return self.snapshot.versions.get(subject.attempt.parent)
        return self.snapshot.head

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
        self.lineage.update_from(snapshot)
        if self.lineage.cursor is None:
            self._settled = None
        subject = subject_of(snapshot, self._settled)
        changed = subject.name != self._subject.name
        self._subject = subject
        self._lineage_info(snapshot)
        self._paint_plan(snapshot, subject, changed)
        self._paint_diff(snapshot, subject, changed)
        self._paint_output(snapshot, subject, changed)
        self._paint_score(snapshot, subject)

    def _status(self) -> None:
        assert self.snapshot is not None
        bar = self.query_one("#status", StatusLine)
        can_start = self.avo.services.start_engine is not None
        bar.set_row(
            status_line(
                self.snapshot, self.size.width, self.avo.clock(), self.avo.status_keys(), can_start
            )
        )

    def _pane(self, name: str) -> Pane:
        return self.query_one(f"#{name}", Pane)

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
        info.append((f"{count} version{'s' if count != 1 else ''}", "dim"))
        self._pane("lineage").set_info(info)

    def _once(self, pane: str, basis: object) -> bool:
        """True where the input of a pane differs from what was painted last."""
        if self._shown.get(pane) == basis:
            return False
        self._shown[pane] = basis
        return True

    # -- plan

    def _paint_plan(self, snapshot: Snapshot, subject: Subject, changed: bool) -> None:
        head, body = (
            self.query_one("#plan-head", LinesView),
            self.query_one("#plan-view", LinesView),
        )
        pane = self._pane("plan")
        step: StepView | Failed | None = snapshot.live
        if subject.live:
            view = snapshot.live
            pane.set_heading("Plan")
            info: list[Span] = [(f"step {view.number}", "dim")]
            if body.unseen:
                info = [(f"↓ {body.unseen} new ", "warn"), ("end ", "key"), *info]
            pane.set_info(info)
            lines: Callable[[int], Sequence[Line]] = lambda width: plan_lines(  # noqa: E731
                view.title, view.items, width, max(3, pane.size.height // 2)
            )
        else:
            step = self._past_step(snapshot, subject.step or 0)
            pane.set_heading("Story" if subject.version else "Attempt")
            pane.set_info([(subject.name, "accent"), (f" · step {subject.step}", "dim")])
            version, attempt = subject.version, subject.attempt
            if version is not None:
                lines = lambda width: version_story(version, width)  # noqa: E731
            else:
                assert attempt is not None
                lines = lambda width: attempt_story(attempt, width)  # noqa: E731
        width = head.room if head.room > 0 else max(10, pane.size.width - 3)
        basis = (subject, snapshot.live.title, snapshot.live.items, pane.size, width)
        if self._once("plan-head", basis):
            rows = list(lines(width))
            head.display = bool(rows)
            share = 1 / 2 if subject.live else 3 / 4
            head.styles.height = min(len(rows), max(2, int((pane.size.height - 2) * share)))
            head.show(lines, reset=changed)
        if isinstance(step, StepView):
            view_of_step = step
            if self._once("plan", (step, subject.name)):
                body.show(
                    lambda width: self._stream(view_of_step, width, subject),
                    reset=self._streamed != subject.name,
                    end=subject.live,
                )
                self._streamed = subject.name
        else:
            reason = step.reason if isinstance(step, Failed) else "reading the step …"
            if self._once("plan", (reason, subject.name)):
                body.show(lambda width: [line((reason, "faint"))], reset=True, end=False)
                self._streamed = ""

    def _stream(self, view: StepView, width: int, subject: Subject) -> Sequence[Line]:
        rows = stream_lines(view, width)
        if rows:
            if not subject.live:
                return [line((f"how step {view.number} went", "faint")), BLANK, *rows]
            return rows
        if not subject.live:
            return []
        if view.number == 0 and self.snapshot is not None and not self.snapshot.versions:
            return teach(
                "The seed is compiled, checked and measured first.",
                "Then the operator makes its first plan, and it is shown here.",
            )
        return teach(
            "Nothing was said in this step yet.",
            "Prose, tools, hints and attempts appear here as they come.",
            "h sends the operator a hint.",
        )

    def _past_step(self, snapshot: Snapshot, number: int) -> StepView | Failed | None:
        if number == snapshot.live.number:
            return snapshot.live
        feed = self.avo.feed
        assert self.loader is not None
        if feed is None:
            return None
        return self.loader.get(("step", number), lambda: fold(feed.source.events(step=number)))

    # -- diff

    def _paint_diff(self, snapshot: Snapshot, subject: Subject, changed: bool) -> None:
        pane, view = self._pane("diff"), self.query_one("#diff-view", LinesView)
        doc, name = self._diff_of(snapshot, subject)
        if isinstance(doc, diffs.DiffDoc):
            pane.set_info(edit_info(doc.added, doc.removed, name))
        else:
            pane.set_info([(name, "dim")] if name else [])
        basis = (id(doc) if isinstance(doc, diffs.DiffDoc) else doc, name, self.sides, subject.name)
        if not self._once("diff", basis):
            return
        if isinstance(doc, Failed):
            reason = doc.reason
            view.show(lambda width: teach("The difference cannot be shown.", reason), reset=True)
        elif doc is None:
            said = self._no_diff(subject, name)
            view.show(lambda width: said, reset=changed)
        elif not doc.files:
            view.show(lambda width: teach("The sources are the same."), reset=True)
        else:
            found, sides, highlight = doc, self.sides, self.avo.highlighter
            view.show(lambda width: diff_lines(found, width, highlight, sides), reset=changed)

    @staticmethod
    def _no_diff(subject: Subject, name: str) -> Sequence[Line]:
        if subject.live and not name:
            return teach(
                "The working candidate is the same as its parent.",
                "What the operator changes appears here, as it edits.",
                "e opens the kernel in your editor.",
            )
        return teach("reading the sources …")

    def _diff_of(
        self, snapshot: Snapshot, subject: Subject
    ) -> tuple[diffs.DiffDoc | Failed | None, str]:
        feed = self.avo.feed
        assert self.loader is not None
        if feed is None:
            return None, ""
        source = feed.source
        highlight = self.avo.highlighter
        if subject.live:
            edit = snapshot.live.edit
            attempt = snapshot.live.attempt
            if edit is None and attempt is None:
                return None, ""
            if edit is not None:
                identity, parent, text = edit.candidate, edit.parent, edit.diff
            else:
                assert attempt is not None
                identity, parent, text = attempt.attempt.candidate, attempt.attempt.parent, ""
            name = f"v{parent} → working copy"
        else:
            record = subject.version or subject.attempt
            assert record is not None
            identity, text = record.candidate, ""
            if subject.parent is None:
                return self.loader.get(
                    ("diff", None, identity),
                    lambda: diffs.compare(None, source.candidate(identity)),
                ), "the seed"
            parent, name = subject.parent, f"v{subject.parent} → {subject.name}"
        base = snapshot.versions.get(parent)

        def compute() -> diffs.DiffDoc:
            try:
                old = source.candidate(base.candidate) if base is not None else None
                new = source.candidate(identity)
            except KeyError:
                if text:
                    return diffs.parse(text)
                raise ValueError("the source is not stored any more") from None
            warm(old, new, highlight)
            return diffs.compare(old, new)

        return self.loader.get(("diff", parent, identity), compute), name

    # -- output

    def _paint_output(self, snapshot: Snapshot, subject: Subject, changed: bool) -> None:
        pane, view = self._pane("output"), self.query_one("#output-view", LinesView)
        outcome = self._outcome_of(snapshot, subject)
        if isinstance(outcome, Outcome):
            room = max(10, pane.size.width - 18)
            info = stage_spans(outcome, room)
            if not subject.live:
                info = [(f"{subject.name}  ", "accent"), *info]
            pane.set_info(info)
        else:
            pane.set_info([])
        if not self._once("output", (outcome, subject.name)):
            return
        if isinstance(outcome, Outcome):
            shown = outcome
            view.show(
                lambda width: output_lines(shown, width) or teach("compiling …"), reset=changed
            )
        elif isinstance(outcome, Failed):
            reason = outcome.reason
            view.show(lambda width: teach("The report cannot be read.", reason), reset=True)
        elif subject.live:
            view.show(
                lambda width: teach(
                    "Nothing was evaluated in this step yet.",
                    "Compiler log, checks and the benchmark appear here.",
                ),
                reset=True,
            )
        else:
            view.show(lambda width: teach("reading the report …"), reset=True)

    def _outcome_of(self, snapshot: Snapshot, subject: Subject) -> Outcome | Failed | None:
        feed = self.avo.feed
        assert self.loader is not None
        if subject.live:
            made = snapshot.live.attempt
            if made is None:
                return None
            reference = snapshot.session.task.reference_baseline
            outcome = outcome_of_attempt(made, reference)
            is_root = made.attempt.step == 0
            return (
                outcome if is_root else against(outcome, snapshot.versions.get(made.attempt.parent))
            )
        if feed is None:
            return None
        source = feed.source
        if subject.version is not None:
            version = subject.version
            parent = snapshot.versions.get(version.parent) if version.parent is not None else None
            base = outcome_of_version(version, parent)
            attempt = snapshot.attempts.get((version.step, version.attempt))
            if attempt is None or attempt.report is None:
                return base
            found_of = attempt
            report = self.loader.get(("report", attempt.report), lambda: source.report(found_of))
            if report is None or isinstance(report, Failed):
                return base
            made_of = against(outcome_of_report(report), parent)
            return replace(made_of, score=version.score, decision=base.decision)
        attempt = subject.attempt
        assert attempt is not None
        if attempt.report is None:
            return Failed(attempt.reason or "the attempt was interrupted before it had a report")
        found = self.loader.get(("report", attempt.report), lambda: source.report(attempt))
        if found is None or isinstance(found, Failed):
            return found
        return replace(
            against(outcome_of_report(found), snapshot.versions.get(attempt.parent)),
            rejected=attempt.reason,
        )

    # -- score

    def _paint_score(self, snapshot: Snapshot, subject: Subject) -> None:
        pane, chart = self._pane("score"), self.query_one("#score-view", Chart)
        what = self.configuration or "geomean"
        reference = snapshot.session.task.reference_baseline
        over = "time" if self.by_time else "versions"
        pane.set_info([(f"{what} × {reference} over {over}", "dim")])
        selected = subject.version.number if subject.version is not None else None
        basis = (
            len(snapshot.versions),
            snapshot.session.head,
            selected,
            self.by_time,
            self.configuration,
            len(snapshot.supervision),
            len(snapshot.commands),
            chart.content_size,
        )
        if chart.content_size.width and self._once("score", basis):
            chart.show(
                chart_data(
                    snapshot,
                    selected=selected,
                    by_time=self.by_time,
                    configuration=self.configuration,
                    room=chart.content_size.width - 7,
                )
            )

    @on(Chart.Clicked)
    def _chart_clicked(self, event: Chart.Clicked) -> None:
        if self.snapshot is None or not self.snapshot.versions:
            return
        numbers = sorted(self.snapshot.versions)
        self.inspect(numbers[round(event.share * (len(numbers) - 1))])

    def do_chart_axis(self) -> None:
        """Versions or time."""
        self.by_time = not self.by_time
        self.repaint()

    def do_chart_what(self) -> None:
        """The aggregate, or the next configuration."""
        if self.snapshot is None:
            return
        names: list[str | None] = [
            None,
            *(c.name for c in self.snapshot.session.task.configurations),
        ]
        at = names.index(self.configuration) if self.configuration in names else 0
        self.configuration = names[(at + 1) % len(names)]
        self.repaint()

    def do_sides(self) -> None:
        """Unified or side by side."""
        width = self.query_one("#diff-view").size.width
        beside = width >= SIDE_BY_SIDE if self.sides is None else self.sides
        self.sides = not beside
        self.repaint()

    # -- inspect and follow

    def inspect(self, number: int) -> None:
        """Look at a version."""
        self.lineage.pick(key_of_version(number))

    @on(LineageView.Picked)
    def _picked(self, event: LineageView.Picked) -> None:
        # The first move is shown at once; while a key is held down the panes wait until it rests,
        # so that a walk through a hundred versions does not compute a hundred differences.
        moment = monotonic()
        resting = moment - self._moved_at > REST_SECONDS
        self._moved_at = moment
        if self._rest is not None:
            self._rest.stop()
        if resting:
            self._settle()
        else:
            self._rest = self.set_timer(REST_SECONDS, self._settle)

    def _settle(self) -> None:
        """Show what the cursor has come to rest on."""
        if self.ready:
            self._settled = self.lineage.cursor
            self.repaint()
            self.refresh_footer()

    @on(LineageView.Opened)
    def _opened(self, event: LineageView.Opened) -> None:
        self.action_act("lineage")

    @on(LinesView.FollowChanged)
    def _follow_changed(self, event: LinesView.FollowChanged) -> None:
        self.repaint()

    def do_live(self) -> None:
        """One layer back: the filter, the zoom, the inspection."""
        if self.lineage.needle:
            self._end_filter()
        elif self.zoomed:
            self.do_zoom()
            return
        self.lineage.live()
        self._settled = None
        for view in self.query(LinesView):
            if view.id == "plan-view":
                view.action_scroll_end()
        self.repaint()

    def do_best(self) -> None:
        """To the best version."""
        if self.snapshot is not None and self.snapshot.best is not None:
            self.inspect(self.snapshot.best.number)

    def do_head(self) -> None:
        """To the head."""
        if self.snapshot is not None and self.snapshot.session.head is not None:
            self.inspect(self.snapshot.session.head)

    def do_parent(self) -> None:
        """To the parent."""
        if self.snapshot is None:
            return
        subject = subject_of(self.snapshot, self.lineage.cursor)
        parent = subject.parent if not subject.live else self.snapshot.session.head
        if parent is not None:
            self.inspect(parent)

    def do_next_mark(self) -> None:
        """To the next bookmark, from the newest to the oldest, round and round."""
        if self.snapshot is None:
            return
        marked = sorted((n for n, v in self.snapshot.versions.items() if v.bookmark), reverse=True)
        if not marked:
            self.app.notify("no version has a bookmark: m sets one", timeout=3)
            return
        at = self.version_in_hand.number if self.version_in_hand and self.cursor else 10**9
        self.inspect(next((n for n in marked if n < at), marked[0]))

    def do_mark(self) -> None:
        """Mark for a comparison."""
        if self.version_in_hand is not None:
            self.lineage.mark(self.version_in_hand.number)

    # -- find

    def do_filter(self) -> None:
        """Open the filter for the focused pane."""
        pane = self.pane_of_focus() or "lineage"
        self._find_target = pane if pane != "score" else "lineage"
        label = (
            "filter the lineage"
            if self._find_target == "lineage"
            else f"find in {self._find_target}"
        )
        self.query_one(FindBar).open(f"/ {label}")

    @on(FindBar.Changed)
    def _find_changed(self, event: FindBar.Changed) -> None:
        bar = self.query_one(FindBar)
        if self._find_target == "lineage":
            count = self.lineage.filter(event.text)
            bar.set_count(f"{count} row{'s' if count != 1 else ''}")
            self.repaint()
        else:
            view = self.query_one(f"#{self._find_target}-view", LinesView)
            count = view.search(event.text) if event.text else view.search("")
            bar.set_count(f"{count} hit{'s' if count != 1 else ''} · n next" if event.text else "")
        if event.done:
            self.query_one(f"#{self._find_target}-view").focus()
            self.refresh_footer()

    @on(FindBar.Closed)
    def _find_closed(self) -> None:
        self._end_filter()
        self.query_one(f"#{self._find_target or 'lineage'}-view").focus()

    def _end_filter(self) -> None:
        if self.lineage.needle:
            self.lineage.filter("")
            if self.lineage.cursor is not None:
                self.lineage.reveal()
        for view in self.query(LinesView):
            view.search("")
        self.repaint()

    def do_next_hit(self) -> None:
        """The next row that was found."""
        pane = self.pane_of_focus()
        view = self.query_one(f"#{pane}-view") if pane and pane != "score" else None
        if isinstance(view, LinesView):
            at, count = view.next_hit(1)
            said = f"{at} of {count}" if count else "nothing to go to: / finds text in this pane"
            self.app.notify(said, timeout=2)

    def do_copy(self) -> None:
        """Copy the focused pane's text."""
        pane = self.pane_of_focus()
        view: Widget | None = self.query_one(f"#{pane}-view") if pane else None
        if not isinstance(view, LinesView):
            self.app.notify("there is no text in this pane", timeout=2)
            return
        rows = [row.plain[row.gutter :].rstrip() for row in view.lines]
        self.app.copy_to_clipboard("\n".join(rows))
        self.app.notify(f"copied {len(rows)} lines", timeout=2)


def warm(old: Candidate | None, new: Candidate, highlight: Callable[[str, str], object]) -> None:
    """Highlight the files that differ, here in the thread, so that the screen finds them done."""
    before = old.files if old is not None else {}
    for name, text in new.files.items():
        if before.get(name) != text:
            highlight(text, name)
            if name in before:
                highlight(before[name], name)
