"""The sessions screen: what there is, how it goes, a new one, a replay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.content import Content

from avo_tui.domain.budget import SOFT_WARNING
from avo_tui.domain.progress import progress_text, waiting_text
from avo_tui.store import SessionSummary, by_attention, campaign_of, summaries
from avo_tui.ui import dialogs, formats, screens
from avo_tui.ui.actions import Actions, Reason
from avo_tui.ui.charts import ChartData, Point, render
from avo_tui.ui.loader import in_thread
from avo_tui.ui.screen import COMMON
from avo_tui.ui.screens.listing import ListScreen
from avo_tui.ui.status import listed_state
from avo_tui.ui.text import BLANK, Line, Span, cut, fit, fit_right, line, one_line, prose
from avo_tui.ui.widgets.bars import ActionBar, StatusLine
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.lists import PickList
from avo_tui.ui.widgets.paint import Bar
from avo_tui.ui.widgets.pane import Pane

RATIO, ACTIVE, VERSIONS, SPEND, AGE = 8, 8, 10, 12, 7
"""Cells of the columns that are always as wide."""
TREND, TREND_MOST = 8, 40
"""Cells of the sparkline: at least, and at most."""
NAME_MOST = 44
DEMO = "demo"
OFFERS = {
    DEMO: ("The demo", "attention on this processor gets faster; no GPU, no key"),
    "first-kernel": ("Your kernel", "from a PyTorch module, in C++ or in CUDA"),
    "first-repository": ("Your repository", "its own build, tests and benchmark decide"),
    "first-agent": ("Your agent", "Claude Code, Codex and others make the steps"),
}
"""What a person is offered who has no session yet: the demo, and pages of the documentation."""


@dataclass(frozen=True)
class Columns:
    """Which columns a width has room for, and how wide they are: 0 is left out.

    The name comes first, and whole: it is what one types after `avo attach`. Then the state, the
    best ratio and when the session was last active; the others as there is room for them.
    """

    name: int
    state: int
    active: int = 0
    versions: int = 0
    baseline: int = 0
    task: int = 0
    spend: int = 0
    age: int = 0
    trend: int = 0

    @classmethod
    def of(cls, sessions: Sequence[SessionSummary], width: int) -> Columns:
        state = _widest(("state", *(_state(s)[0] for s in sessions if s.error is None)), 16) + 1
        name = _widest(("name", *(one_line(s.name) for s in sessions)), NAME_MOST) + 1
        name = min(name, max(12, width - state - RATIO))
        left = width - name - state - RATIO
        names = [one_line(s.reference_baseline) for s in sessions if s.ratio is not None]
        baseline = _widest(names, 16) + 1 if names else 0
        task = _widest(("task", *(one_line(s.task) for s in sessions)), 26) + 1
        out = cls(name, state)
        for field, cells in (
            ("active", ACTIVE),
            ("versions", VERSIONS),
            ("baseline", baseline),
            ("task", task),
            ("spend", SPEND),
            ("age", AGE),
        ):
            if cells <= left:
                out, left = replace(out, **{field: cells}), left - cells
        trend = min(TREND_MOST, left - 2)
        return replace(out, trend=trend) if trend >= TREND else out


def _widest(texts: Iterable[str], most: int) -> int:
    return min(most, max((cell_len(text) for text in texts), default=0))


def table_lines(sessions: Sequence[SessionSummary], width: int, now: datetime) -> list[Line]:
    columns = Columns.of(sessions, width)
    rows = (_row(s, columns, width, now)._replace(meta=s.folder) for s in sessions)
    return [_head(columns), *rows]


def _head(columns: Columns) -> Line:
    text = fit("name", columns.name) + fit("task", columns.task) + fit("state", columns.state)
    text += fit_right("best", RATIO) + fit("", columns.baseline)
    text += fit_right("versions", VERSIONS) if columns.versions else ""
    text += fit_right("spend", SPEND) if columns.spend else ""
    text += fit_right("age", AGE) if columns.age else ""
    text += fit_right("active", ACTIVE) if columns.active else ""
    text += "  " + fit("trend", columns.trend) if columns.trend else ""
    return line((text.rstrip(), "faint"))


def _state(s: SessionSummary) -> tuple[str, str]:
    word, role = listed_state(s.state or "lost", s.progress)
    return (f"{word} !", "bad") if s.sandbox_warning else (word, role)  # why is said below


def _row(s: SessionSummary, columns: Columns, width: int, now: datetime) -> Line:
    name = fit(cut(one_line(s.name), columns.name - 1), columns.name)
    if s.error is not None:
        room = width - columns.name - 2
        return line((name, "strong"), ("✕ ", "bad"), (cut(one_line(s.error), room), "dim"))
    state, role = _state(s)
    spans: list[Span] = [(name, "strong")]
    if columns.task:
        spans.append((fit(cut(one_line(s.task), columns.task - 1), columns.task), "dim"))
    spans.append((fit(state, columns.state), role))
    ratio = "–" if s.ratio is None else formats.ratio(s.ratio)
    spans.append((fit_right(ratio, RATIO), "good" if (s.ratio or 0) >= 1 else ""))
    if columns.baseline:
        known = "" if s.ratio is None else one_line(s.reference_baseline)
        spans.append((fit(f" {known}", columns.baseline), "dim"))
    if columns.versions:
        spans.append((fit_right(str(s.versions), VERSIONS), ""))
    if columns.spend:
        spent, fraction = formats.spend(s.budget.run, s.spend)
        short = spent if len(spent) < SPEND else spent.split("/")[0]
        spans.append((fit_right(short, SPEND), "warn" if fraction >= SOFT_WARNING else "dim"))
    if columns.age:
        spans.append((fit_right(formats.ago(s.created, now), AGE), "dim"))
    if columns.active:
        spans.append((fit_right(formats.ago(s.last_activity, now), ACTIVE), "dim"))
    if columns.trend:
        trend = formats.sparkline(list(s.sparkline), columns.trend)
        spans.append(("  " + trend, "curve"))
    return line(*spans)


def preview_lines(s: SessionSummary, width: int, height: int) -> list[Line]:
    """What a session is, and the course of its best score."""
    spent, _ = formats.spend(s.budget.run, s.spend)
    facts = (s.task, s.operator, s.model, formats.many(s.versions, "version"),
             formats.many(s.attempts, "attempt"), spent, s.state_reason)  # fmt: skip
    points = tuple(Point(i, y, i, leads=True) for i, y in enumerate(s.sparkline))
    data = ChartData(points, ((one_line(s.reference_baseline), 1.0),), end=len(points))
    head = line((cut(one_line(" · ".join(filter(None, facts))), width), "dim"))
    return [head, *render(data, width, height - 1)]


act = Actions["SessionsScreen"]("sessions")
leaving = Actions["SessionsScreen"]("general")


def _readable(screen: SessionsScreen) -> Reason:
    current = screen.current
    if current is None:
        return "there is no session yet: n starts one"
    if current.error is None:
        return None
    return f"this session cannot be read: avo doctor {current.name} says more"


def _can_create(screen: SessionsScreen) -> Reason:
    if screen.host.services.create_session is None:
        return "this app was started without an engine: use avo run TASK"
    return None


def _can_start(screen: SessionsScreen) -> Reason:
    reason = _readable(screen)
    if reason is not None or screen.current is None:
        return reason
    if screen.host.services.start_engine is None:
        return "this app was started without an engine: use avo run --resume"
    state = screen.current.state
    return None if state in {"lost", "stopped", "finished"} else f"the run is {state}"


def _can_open(screen: SessionsScreen) -> Reason:
    return None if screen.table.key in OFFERS else _readable(screen)


@act("enter", "Open the session, or what is offered.", _can_open, footer=1)
def _open(screen: SessionsScreen) -> None:
    host, key = screen.host, screen.table.key
    if isinstance(key, Path):
        host.open_folder(key)
    elif key == DEMO and host.services.start_demo is not None:
        host.notify("starting the demo …", timeout=3)
        in_thread(screen, host.services.start_demo, host.open_folder, group="start")
    else:
        host.push_screen(screens.PageScreen(str(key)))


def _in_campaign(screen: SessionsScreen) -> Reason:
    current = screen.current
    if current is None or campaign_of(current.folder) is None:
        return "this session is no line of a campaign"
    return None


@act("C", "Open the campaign that the session is a line of.", _in_campaign, footer=6)
def _campaign(screen: SessionsScreen) -> None:
    current = screen.current
    campaign = None if current is None else campaign_of(current.folder)
    if campaign is not None:
        screen.host.push_screen(screens.CampaignScreen(campaign.path))


@act("n", "Start a new session.", _can_create, footer=2)
def _new(screen: SessionsScreen) -> None:
    screen.host.ask(dialogs.NewSessionDialog(), screen.host.open_folder)


@act("r", "Play the session from its start.", _readable, footer=3)
def _replay(screen: SessionsScreen) -> None:
    if screen.current is not None:
        screen.host.open_replay(screen.current.folder)


@act("R", "Start the engine of a session and open it.", _can_start, footer=4, label="go on")
def _start(screen: SessionsScreen) -> None:
    host, current = screen.host, screen.current
    if current is not None:
        folder, notice = current.folder, f"starting {current.name} …"
        host.start_engine(folder, notice, lambda: host.open_folder(folder))


@act("slash", "Filter by name, task or state.", footer=5, id="filter")
def _find(screen: SessionsScreen) -> None:
    screen.query_one(FindBar).open(screen.FIND)


@leaving("q,escape", "Leave; running sessions go on.", footer=80)
def _quit(screen: SessionsScreen) -> None:
    if screen.searching:
        screen.end_find()
    else:
        screen.host.departure.leave()


class SessionsScreen(ListScreen):
    """All sessions: those that need a person first, then the most recently active."""

    ACTIONS = (*act, *leaving, *COMMON)
    ABOUT = (
        "Every session on this machine, and the recorded ones that ship with avo. A run goes on "
        "whether or not a screen looks at it. The sparkline is the best score so far, version by "
        "version."
    )
    SECONDS = 2.0
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]  # noqa: RUF012
    MAIN, FIND = "#sessions-view", "/ filter"
    PANES = {"sessions": ("Sessions", "Enter opens the one under the cursor.")}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[SessionSummary] | None = None
        """All sessions; None until they have been read."""
        self.shown: list[SessionSummary] = []
        """Those that the filter leaves, in the order of the rows."""
        self.offers = False
        """Whether to offer a beginning: no session is the person's own."""
        self.needle = ""

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        with Pane(key="", title="Sessions", id="sessions"):
            yield PickList(id="sessions-view")
        with Pane(key="", title="", id="preview"):
            yield LinesView(id="preview-view")
        yield Bar(id="about")
        yield ActionBar(id="actions")
        yield FindBar()

    @property
    def table(self) -> PickList:
        return self.query_one(PickList)

    def read(self) -> tuple[list[SessionSummary], bool]:
        services, there = self.host.services, summaries(self.host.roots)
        own = services.is_own or (lambda folder: True)
        offers = services.start_demo is not None and not any(own(s.folder) for s in there)
        return by_attention(there, self.host.clock()), offers

    def take(self, value: tuple[list[SessionSummary], bool] | None, error: str = "") -> None:
        if value is None:
            self.app.notify(one_line(error), severity="error", timeout=10, markup=False)
            return
        self.sessions, self.offers = value
        self._filter()

    def _filter(self) -> None:
        needle = self.needle.casefold()
        self.shown = [
            s
            for s in self.sessions or ()
            if needle
            in f"{s.name} {s.task} {s.state or ''} {s.operator or ''} {s.error or ''}".casefold()
        ]

    @property
    def current(self) -> SessionSummary | None:
        key = self.table.key
        return next((s for s in self.shown if s.folder == key), None)

    def show_list(self) -> None:
        self.table.show(self._lines)
        everything = self.sessions or []
        running = sum(1 for s in everything if s.state in {"running", "starting", "pausing"})
        info: list[Span] = [(f"{len(everything)}", "dim")]
        if self.needle:
            info = [(f"{len(self.shown)}", "dim"), (" of ", "faint"), *info]
        self.query_one("#sessions", Pane).set_info(info)
        self.tell_about()
        needy = sum(1 for s in everything if s.progress and s.progress.waits_for == "approval")
        right = f"▲ {needy} waiting for you   " if needy else ""
        right += f"{running} running " if running else ""
        about = self.host.places_text or "supervised evolution of compute kernels"
        room = max(0, self.size.width - len(" avo   ") - len(right) - 1)
        left: list[Span] = [(" avo", "title"), (f"   {cut(about, room)}", "dim")]
        gap = self.size.width - sum(cell_len(t) for t, _ in left) - len(right)
        self.query_one("#status", StatusLine).set_row(
            line(*left, (" " * max(1, gap), ""), (right, "state-running"))
        )

    def tell_about(self) -> None:
        current, now = self.current, self.host.clock()
        spans: list[Span] = []
        if current is not None and current.error is None:
            known = current.progress
            texts = [] if known is None else [waiting_text(known, now), progress_text(known, now)]
            spans = [(cut(one_line("; ".join(filter(None, texts))), self.size.width), "dim")]
            if current.sandbox_warning:
                warning = cut(one_line(current.sandbox_warning), self.size.width - 2)
                spans = [(f"! {warning}", "bad")]
        self.query_one("#about", Bar).set_row(line((" ", ""), *spans))
        readable = current is not None and current.error is None
        self.query_one("#preview").set_class(readable, "-known")
        preview = self.query_one("#preview-view", LinesView)
        if current is not None and readable:
            self.query_one("#preview", Pane).border_title = Content(one_line(current.name))
            preview.show(lambda width: preview_lines(current, width, preview.size.height))

    def _lines(self, width: int) -> Sequence[Line]:
        if self.sessions is None:
            return [BLANK, line(("reading the sessions …", "dim"))]
        if self.needle and not self.shown:
            return [BLANK, line(("no session holds ", "dim"), self.needle)]
        offers = _offers(width) if self.offers and not self.needle else []
        if self.shown:
            return [*offers, *table_lines(self.shown, width, self.host.clock())]
        return offers or _no_sessions(width, self.host.services.create_session is not None)

    def find(self, text: str, done: bool) -> str:
        self.needle = text
        self._filter()
        self.show_list()
        return f"{len(self.shown)} of {len(self.sessions or ())}"


def _offers(width: int) -> list[Line]:
    """Where a person begins who has no session; the recorded ones follow below."""
    rows = [
        line((f"  {title:17}", "strong"), (cut(what, max(1, width - 19)), "dim"), meta=key)
        for key, (title, what) in OFFERS.items()
    ]
    head = line(("Start here", "title"))
    below = line(("Recorded runs, to look at or to replay", "title"))
    return [head, *rows, BLANK, below]


def _no_sessions(width: int, can_create: bool) -> list[Line]:
    """What stands where the table will be."""
    key = "n starts one." if can_create else "avo run TASK starts one, avo demo shows one."
    text = (
        "A session is one supervised evolution of a kernel: its versions, their scores, everything "
        f"that was tried, your hints. {key}"
    )
    head = line(("There is no session yet.", "strong"))
    return [BLANK, head, BLANK, *prose(text, width, "dim")]
