"""The screen of a campaign: its lines as a table, one chart of them all, what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from textual.app import ComposeResult

from avo_tui.domain.budget import SOFT_WARNING, cap_states
from avo_tui.domain.campaigns import Split
from avo_tui.domain.commands import Command, Pause, Resume, SendHint, Stop
from avo_tui.domain.records import LIVE_STATES
from avo_tui.store import CampaignFolder, CampaignReader, CampaignView, LineView, StoreError
from avo_tui.ui import formats
from avo_tui.ui.actions import Actions, Reason
from avo_tui.ui.charts import MARKS, Curve, draw
from avo_tui.ui.dialogs import Confirm, HintDialog
from avo_tui.ui.host import ONLY_LOOKS
from avo_tui.ui.screen import COMMON
from avo_tui.ui.screens.listing import ListScreen
from avo_tui.ui.status import listed_state
from avo_tui.ui.text import BLANK, Line, Span, between, crop, cut, fit, fit_right, line, one_line
from avo_tui.ui.widgets.bars import ActionBar, StatusLine
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.lists import CursorList
from avo_tui.ui.widgets.paint import Bar
from avo_tui.ui.widgets.pane import Pane

NUMBER, RATIO, EVALUATIONS, VERSIONS, MIGRANTS = 6, 9, 14, 10, 13
"""Cells of the columns that are always as wide."""
TREND = 24


def mark(number: int) -> str:
    """The sign of a line, in the table and in the chart; `number` counts from 1."""
    return MARKS[(number - 1) % len(MARKS)]


def table_lines(view: CampaignView, width: int) -> list[Line]:
    """A heading, and a row for each line of the campaign."""
    name = max(len("session"), *(len(one.line.session) for one in view.lines)) + 1
    name = min(name, max(12, width // 3))
    operator = max(len("operator"), *(len(one.line.settings.operator) for one in view.lines)) + 2
    state = max(len("state"), *(len(_state(one)[0]) for one in view.lines)) + 1
    wide = width >= NUMBER + name + state + RATIO + EVALUATIONS + operator + VERSIONS + MIGRANTS
    head = fit("line", NUMBER) + fit("session", name) + fit("state", state)
    head += fit_right("best", RATIO) + fit_right("evaluations", EVALUATIONS)
    if wide:
        head += "  " + fit("operator", operator - 2) + fit_right("versions", VERSIONS)
        head += fit_right("carried over", MIGRANTS)
    rows = [line((head.rstrip(), "faint"))]
    best = view.best
    for one in view.lines:
        word, role = _state(one)
        spans: list[Span] = [
            (fit(f"{mark(one.line.number)} {one.line.number}", NUMBER), "curve"),
            (fit(cut(one.line.session, name - 1), name), "strong"),
            (fit(word, state), role),
        ]
        ratio = "–" if one.best is None else formats.ratio(one.best.aggregate)
        spans.append((fit_right(ratio, RATIO), "good" if one is best else ""))
        share = "" if one.cap is None else f"/{one.cap:g}"
        used = one.cap is not None and one.spend.evaluations >= SOFT_WARNING * one.cap
        spans.append(
            (fit_right(f"{one.spend.evaluations}{share}", EVALUATIONS), "warn" if used else "dim")
        )
        if wide:
            spans.append(("  " + fit(one.line.settings.operator, operator - 2), "dim"))
            spans.append((fit_right(str(one.versions), VERSIONS), ""))
            spans.append((fit_right(_carried(view, one), MIGRANTS), "dim"))
        trend = formats.sparkline([ratio for _, ratio in one.points], TREND)
        if trend and width - sum(len(text) for text, _ in spans) > len(trend) + 2:
            spans.append(("  " + trend, "curve"))
        rows.append(line(*crop(spans, width)))
    return rows


def _state(one: LineView) -> tuple[str, str]:
    if one.state == "waiting":
        return "◌ not begun", "dim"
    return listed_state(one.state, one.progress)


def _carried(view: CampaignView, one: LineView) -> str:
    """How many versions came from other lines: `2 of 3` committed of those sent; "" for none."""
    sent = [m for m in view.migrations if m.migration.target == one.line.number]
    committed = sum(1 for m in sent if m.fate == "committed")
    return f"{committed} of {len(sent)}" if sent else ""


def chart_lines(view: CampaignView, width: int, height: int) -> list[Line]:
    """The best ratio of every line over its evaluations, with the sign of each."""
    curves = [Curve(one.line.session, one.points) for one in view.lines]
    if not any(curve.points for curve in curves):
        return [BLANK, line(("No line has a version yet: each begins with the seed.", "dim"))]
    rows = draw(curves, width, height)
    if not rows:
        return [line(("too little room for the chart", "dim"))]
    return [line((row, "curve")) for row in rows]


def happening_lines(view: CampaignView, width: int) -> list[Line]:
    """What happened in all lines, the latest first."""
    rows = []
    for happening in reversed(view.happenings):
        spans: list[Span] = [
            (f"{happening.at.astimezone():%d %b %H:%M} ", "faint"),
            (fit(f"{mark(happening.line)} line {happening.line}", 10), "curve"),
            ("★ " if happening.better else "  ", "good"),
            (one_line(happening.text), "good" if happening.better else "dim"),
        ]
        rows.append(line(*crop(spans, width)))
    return rows or [line(("Nothing has happened yet.", "dim"))]


def state_counts(view: CampaignView) -> str:
    """How many lines are in each state, the commonest first: many lines do not fit the table."""
    counts = Counter(one.state for one in view.lines)
    return " · ".join(f"{count} {state}" for state, count in counts.most_common())


def status_spans(view: CampaignView, now: datetime) -> tuple[list[Span], list[Span]]:
    """(left, right) of the status line: name, state, best; what was spent."""
    words = {
        "running": ("● RUNNING", "state-running"),
        "lost": (" ! ITS PROCESS IS GONE · avo campaign resume ", "state-lost"),
        "over": ("✔ OVER", "state-over"),
    }
    left: list[Span] = [
        (f" {view.campaign.name}", "title"),
        (f"  {one_line(view.campaign.task.name)}  ", "dim"),
        words[view.state],
    ]
    best = view.best
    if best is not None and best.best is not None:
        ratio = formats.ratio(best.best.aggregate)
        reference = one_line(view.campaign.task.reference_baseline)
        where = f"line {best.line.number} v{best.best.number}"
        left.append((f"  ★ {where} {ratio} {reference}", "good"))
    caps = view.campaign.caps.model_copy(update={"hours": None})
    states = cap_states(caps, view.spend)
    texts = [f"{c.used:g}/{c.cap:g} {c.unit}" for c in states]
    if not any(c.unit == "evaluations" for c in states):
        texts.insert(0, formats.many(view.spend.evaluations, "evaluation"))
    age = formats.ago(view.campaign.created, now)
    return left, [(f"{' · '.join(texts)}  {age} ", "dim")]


def about_spans(one: LineView, width: int) -> Sequence[Span]:
    """Why a line stands as it does, and what it started from."""
    parts = []
    if one.line.split_from is not None:
        parts.append(f"split off from line {one.line.split_from} at {one.line.origin}")
    if one.reason:
        parts.append(one.reason)
    if not parts:
        parts.append(f"enter opens {one.line.session}")
    text = f"line {one.line.number}: {one_line('; '.join(parts))}"
    return [(cut(text, width), "bad" if one.line.problem else "dim")]


PAUSED = {"paused", "pausing", "parked"}


act = Actions["CampaignScreen"]("lines")
leaving = Actions["CampaignScreen"]("general")


def _begun(screen: CampaignScreen) -> Reason:
    current = screen.current
    if current is None:
        return "the campaign is being read"
    return "this line has not begun yet" if current.state == "waiting" else None


def _changeable(screen: CampaignScreen) -> Reason:
    return ONLY_LOOKS if screen.host.read_only else _begun(screen)


def _live(screen: CampaignScreen) -> Reason:
    reason = _changeable(screen)
    current = screen.current
    if reason is not None or current is None:
        return reason
    return None if current.state in LIVE_STATES else f"the line is {current.state}: R goes on"


def _gone(screen: CampaignScreen) -> Reason:
    reason = _changeable(screen)
    current = screen.current
    if reason is not None or current is None:
        return reason
    if screen.host.services.start_engine is None:
        return "this app was started without an engine: use avo campaign resume"
    over = {"lost", "stopped", "finished"}
    return None if current.state in over else f"the line is {current.state}"


@act("enter", "Open the line.", _begun, footer=1)
def _open(screen: CampaignScreen) -> None:
    if screen.current is not None:
        screen.host.open_folder(screen.current.folder)


def _pause_label(screen: CampaignScreen) -> str:
    current = screen.current
    return "go on" if current is not None and current.state in PAUSED else "pause"


@act("p", "Pause the line, or let it go on.", _live, footer=2, label_now=_pause_label)
def _pause(screen: CampaignScreen) -> None:
    current = screen.current
    if current is not None and current.state in PAUSED:
        screen.send(Resume(), "going on")
    else:
        screen.send(Pause(), "pausing after this tool; p goes on")


@act("P", "Pause every line, or let all go on.", _changeable, footer=3)
def _pause_all(screen: CampaignScreen) -> None:
    view = screen.view
    if view is None:
        return
    running = [one for one in view.lines if one.state in LIVE_STATES and one.state not in PAUSED]
    if running:
        screen.send_to(running, Pause(), f"pausing {len(running)} lines; P goes on")
    else:
        paused = [one for one in view.lines if one.state in PAUSED]
        screen.send_to(paused, Resume(), f"{len(paused)} lines go on")


@act("h", "Give the line a hint.", _live, footer=4)
def _hint(screen: CampaignScreen) -> None:
    current = screen.current
    reader = None if current is None else screen.reader.reader(current.line)
    if current is None or reader is None:
        return
    traits = reader.state.session.settings.operator_traits

    def written(hint: SendHint) -> None:
        screen.send_to([current], hint, f"hint sent to line {current.line.number}")

    hints = list(reader.state.hints.values())
    screen.host.ask(HintDialog(hints, traits, lambda hint: None), written)


@act("E", "End the line.", _live, footer=6)
def _end(screen: CampaignScreen) -> None:
    current = screen.current
    if current is None:
        return

    question = (
        f"Line {current.line.number} ends in good order; its versions stay. What it has left of "
        "the budget goes to the other lines."
    )
    screen.host.ask(
        Confirm(f"End {current.line.session}?", question, "End"),
        lambda _: screen.send_to([current], Stop(), f"line {current.line.number} ends"),
    )


def _can_split(screen: CampaignScreen) -> Reason:
    reason = _changeable(screen)
    if reason is not None or screen.current is None or screen.view is None:
        return reason
    if screen.current.best is None:
        return "the line has no version yet to start from"
    if not screen.view.conductor.alive:
        return "the campaign's process does not run: use avo campaign resume"
    return None


@act(
    "s",
    "Begin a new line from the best version of this one.",
    _can_split,
    footer=5,
    label="split off",
)
def _split(screen: CampaignScreen) -> None:
    current = screen.current
    if current is None or current.best is None:
        return
    version = current.best.number

    question = (
        f"A new line begins from v{version} of line {current.line.number}, with half of the budget "
        "that line has left and another seed."
    )
    screen.host.ask(
        Confirm("Split off a line?", question, "Split"),
        lambda _: screen.order(Split(line=current.line.number, version=version)),
    )


@act("R", "Start the engine of a line that has ended.", _gone, footer=7, label="go on")
def _start(screen: CampaignScreen) -> None:
    current = screen.current
    if current is not None:
        screen.host.start_engine(current.folder, f"starting {current.line.session} …")


@leaving("q,escape", "Leave; the campaign goes on.", footer=80, label="back")
def _close(screen: CampaignScreen) -> None:
    screen.leave()


class CampaignScreen(ListScreen):
    ACTIONS = (*act, *leaving, *COMMON)
    ABOUT = (
        "A campaign runs several sessions, its lines, on one task. Each sends its best version to "
        "the next one on a ring every so many evaluations, where the gate decides about it. They "
        "share one budget. A line is an ordinary session: enter opens it."
    )
    PANES = {  # noqa: RUF012
        "lines": ("Lines", "One row a line; `carried over`: versions that came from others."),
        "chart": (
            "Best over evaluations",
            "The best version of each line so far: its ratio to the baseline. Each version has the "
            "sign of its line.",
        ),
        "happened": ("What happened", "Versions of all lines; ★ is a new best of the campaign."),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.reader = CampaignReader(CampaignFolder(folder))
        self.view: CampaignView | None = None
        self._error = ""

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        with Pane(key="", title="Lines", id="lines"):
            yield CursorList(id="lines-view")
        yield Bar(id="about")
        with Pane(key="", title="Best over evaluations", id="chart"):
            yield LinesView(id="chart-view")
        with Pane(key="", title="What happened", id="happened"):
            yield LinesView(id="happened-view")
        yield ActionBar(id="actions")

    @property
    def current(self) -> LineView | None:
        if self.view is None or not self.ready:
            return None
        index = self.table.index
        return self.view.lines[min(index, len(self.view.lines) - 1)]

    def leave(self) -> None:
        """Back to the screen below; without one the app ends."""
        if len(self.host.screen_stack) > 2:
            self.dismiss(None)
        else:
            self.host.departure.leave()

    def read(self) -> CampaignView:
        return self.reader.view()

    def take(self, value: CampaignView | None, error: str = "") -> None:
        self.view, self._error = value or self.view, error
        if self.view is not None:
            self.table.count = len(self.view.lines)
            self.table.index = min(self.table.index, self.table.count - 1)

    # -- showing

    def show_list(self) -> None:
        view = self.view
        if view is None:
            words = self._error or "reading the campaign …"
            self.table.show(lambda width: [line((words, "dim"))])
            return
        self.table.show(lambda width: table_lines(view, width))
        height = min(len(view.lines) + 3, max(5, self.size.height // 3))
        self.query_one("#lines").styles.height = height
        self.query_one("#lines", Pane).set_info([(state_counts(view), "dim")])
        chart = self.query_one("#chart-view", LinesView)
        reference = one_line(view.campaign.task.reference_baseline)
        self.query_one("#chart", Pane).set_info([(f"× {reference}", "dim")])
        chart.show(lambda width: chart_lines(view, width, max(5, chart.size.height)))
        self.query_one("#happened-view", LinesView).show(lambda width: happening_lines(view, width))
        left, right = status_spans(view, self.host.clock())
        self.query_one("#status", StatusLine).set_row(line(*between(left, right, self.size.width)))
        self.tell_about()

    def tell_about(self) -> None:
        current = self.current
        if current is not None:
            spans = about_spans(current, self.size.width - 1)
            self.query_one("#about", Bar).set_row(line((" ", ""), *spans))

    def show_second(self) -> None:
        if self.ready:
            self.show_list()

    def fit(self) -> None:
        if self.ready:
            self.show_list()
        super().fit()

    def on_resize(self) -> None:
        """The chart is as large as its pane, once that has its size."""
        self.call_after_refresh(self.fit)

    # -- steering

    def send(self, command: Command, notice: str) -> None:
        if self.current is not None:
            self.send_to([self.current], command, notice)

    def send_to(self, lines: Sequence[LineView], command: Command, notice: str) -> None:
        """Send a command to some lines, and show `notice` or why it cannot be sent."""
        for one in lines:
            reader = self.reader.reader(one.line)
            if reader is None:
                continue
            try:
                reader.send(command)
            except (OSError, StoreError) as error:
                self.host.notify(str(error), severity="error", timeout=8, markup=False)
                return
        self.host.notify(notice, timeout=3, markup=False)

    def order(self, order: Split) -> None:
        try:
            self.reader.folder.send(order)
        except StoreError as error:
            self.host.notify(str(error), severity="error", timeout=8, markup=False)
        else:
            self.host.notify("the new line begins in a moment", timeout=3)
