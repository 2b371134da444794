"""The sessions screen: what there is, how it goes, a new one, a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.worker import get_current_worker

from avo_tui.store import SessionSummary, summaries
from avo_tui.ui import show
from avo_tui.ui.actions import Action, Reason, bindings
from avo_tui.ui.screens.base import COMMON, AvoScreen
from avo_tui.ui.text import BLANK, Line, Span, cut, fit, fit_right, line, one_line, prose
from avo_tui.ui.views.status import STATES
from avo_tui.ui.widgets.bars import ActionBar, StatusLine
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.pane import Pane

REFRESH_SECONDS = 2.0


def _picked(screen: Any) -> Reason:
    return None if screen.current is not None else "there is no session yet: n starts one"


def _readable(screen: Any) -> Reason:
    current = screen.current
    if current is None:
        return "there is no session yet: n starts one"
    return None if current.error is None else "this session cannot be read: avo doctor says more"


def _can_create(screen: Any) -> Reason:
    if screen.avo.services.create_session is None:
        return "this app was started without an engine: use avo run TASK"
    return None


def _can_start(screen: Any) -> Reason:
    reason = _readable(screen)
    if reason is not None:
        return reason
    if screen.avo.services.start_engine is None:
        return "this app was started without an engine: use avo run --resume"
    state = screen.current.state
    return None if state in {"lost", "stopped", "finished"} else f"the run is {state}"


ACTIONS = (
    Action("open", "enter", "open", "Open the session.", "sessions", 1, _readable),
    Action("new", "n", "new", "Start a new session.", "sessions", 2, _can_create),
    Action("replay", "r", "replay", "Play the session from its start.", "sessions", 3, _readable),
    Action(
        "start",
        "R",
        "go on",
        "Start the engine of a session and open it.",
        "sessions",
        4,
        _can_start,
    ),
    Action("filter", "slash", "filter", "Filter by name, task or state.", "sessions", 5),
    Action("quit", "q,escape", "quit", "Leave; running sessions go on.", "general", 80),
    *COMMON,
)


class SessionList(LinesView):
    """The table with a cursor; two heading rows are part of the lines."""

    HEAD = 1
    BINDINGS = [  # noqa: RUF012
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("home,g", "move(-1000000)", show=False),
        Binding("end,G", "move(1000000)", show=False),
    ]

    class Opened(Message):
        """A row was clicked twice."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.place = 0
        self.count = 0

    def action_move(self, by: int) -> None:
        """Up or down."""
        if self.count:
            self.place = max(0, min(self.count - 1, self.place + by))
            row = self.place + self.HEAD
            top, height = self.scroll_offset.y, self.size.height
            if row < top + self.HEAD:
                self._scroll(max(0, row - self.HEAD))
            elif row >= top + height:
                self._scroll(row - height + 1)
            self.refresh()
            if isinstance(self.screen, SessionsScreen):
                self.screen.moved()

    def over(self, index: int) -> str:
        """The cursor's row."""
        return "cursor" if self.count and index == self.place + self.HEAD else ""

    def on_click(self, event: events.Click) -> None:
        """A click picks, a second one opens."""
        row = event.y + self.scroll_offset.y - self.HEAD
        if 0 <= row < self.count:
            self.place = row
            self.action_move(0)
            if event.chain > 1:
                self.post_message(self.Opened())


class SessionsScreen(AvoScreen):
    """All sessions, the most recently active first."""

    ACTIONS = ACTIONS
    BINDINGS: ClassVar[list[Any]] = bindings(ACTIONS)
    ABOUT = (
        "Every session on this machine, and the recorded ones that ship with avo. A run goes on "
        "whether or not a screen looks at it. The sparkline is the best score so far, version by "
        "version."
    )
    PANES = {"sessions": ("Sessions", "Enter opens the one under the cursor.")}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.found: list[SessionSummary] = []
        self.shown: list[SessionSummary] = []
        self.needle = ""
        self._read = False

    def compose(self) -> ComposeResult:
        """Status, table, details, actions."""
        yield StatusLine(id="status")
        with Pane(key="", title="Sessions", id="sessions"):
            yield SessionList(id="sessions-view")
        yield FindBar()
        yield ActionBar(id="actions")

    def on_mount(self) -> None:
        """Read now and every two seconds."""
        self.query_one(SessionList).focus()
        self._look()
        self.set_interval(REFRESH_SECONDS, self._look)
        self._show()

    def on_screen_resume(self) -> None:
        """What changed while a session was open."""
        self._look()

    def _look(self) -> None:
        if self.app.screen is self:
            self.run_worker(
                self._summaries, thread=True, group="summaries", exclusive=True, exit_on_error=False
            )

    def _summaries(self) -> None:
        worker = get_current_worker()
        found = summaries(self.avo.roots)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._found, found)

    def _found(self, found: list[SessionSummary]) -> None:
        if not self.ready:
            return
        current = self.current
        self.found, self._read = found, True
        self._filter()
        if current is not None:
            names = [s.folder for s in self.shown]
            if current.folder in names:
                self.query_one(SessionList).place = names.index(current.folder)
        self._show()
        self.refresh_footer()

    def _filter(self) -> None:
        needle = self.needle.casefold()
        self.shown = [
            s
            for s in self.found
            if needle
            in f"{s.name} {s.task} {s.state or ''} {s.operator or ''} {s.error or ''}".casefold()
        ]
        table = self.query_one(SessionList)
        table.count = len(self.shown)
        table.place = max(0, min(table.place, table.count - 1))

    def moved(self) -> None:
        """The cursor moved."""
        self.refresh_footer()

    @property
    def current(self) -> SessionSummary | None:
        """The session under the cursor."""
        table = self.query_one(SessionList)
        return self.shown[table.place] if self.shown else None

    def _show(self) -> None:
        self.query_one(SessionList).show(self._lines)
        running = sum(1 for s in self.found if s.state in {"running", "starting", "pausing"})
        info: list[Span] = (
            [(f"{len(self.shown)}", "dim"), (" of ", "faint"), (f"{len(self.found)}", "dim")]
            if self.needle
            else [(f"{len(self.found)}", "dim")]
        )
        self.query_one("#sessions", Pane).set_info(info)
        width = self.size.width
        left: list[Span] = [
            (" avo", "title"),
            ("   supervised evolution of compute kernels", "dim"),
        ]
        right = f"{running} running " if running else ""
        gap = width - sum(cell_len(t) for t, _ in left) - len(right)
        self.query_one("#status", StatusLine).set_row(
            line(*left, (" " * max(1, gap), ""), (right, "state-running"))
        )

    def _lines(self, width: int) -> Sequence[Line]:
        if not self._read:
            return [BLANK, line(("reading the sessions …", "dim"))]
        if not self.found:
            key = (
                "n starts one."
                if self.avo.services.create_session
                else "avo run TASK starts one, avo demo shows one."
            )
            return [
                BLANK,
                line(("There is no session yet.", "strong")),
                BLANK,
                *prose(
                    (
                        "A session is one supervised evolution of a kernel: its "
                        "versions, their scores, everything that was tried, your hints. "
                    )
                    + key,
                    width,
                    "dim",
                ),
            ]
        if not self.shown:
            return [BLANK, line(("no session holds ", "dim"), self.needle)]
        return [self._head(width), *(self._row(s, width) for s in self.shown)]

    @staticmethod
    def _columns(width: int) -> tuple[int, int, int, bool, bool]:
        name = 18 if width < 100 else 22 if width < 140 else 30
        task = 14 if width < 100 else 18
        wide, wider = width >= 88, width >= 130
        used = name + task + 50 + (12 if wide else 0) + (8 if wider else 0)
        spark = max(0, min(40, width - used - 4))
        return name, task, spark if spark >= 8 else 0, wide, wider

    def _head(self, width: int) -> Line:
        name, task, spark, wide, wider = self._columns(width)
        text = fit("name", name) + " " + fit("task", task) + " " + fit("state", 13)
        text += fit_right("best", 16) + fit_right("versions", 10)
        text += fit_right("spend", 12) if wide else ""
        text += fit_right("age", 8) if wider else ""
        text += fit_right("active", 9)
        text += "  " + fit("trend", spark) if spark else ""
        return line((text, "faint"))

    def _row(self, s: SessionSummary, width: int) -> Line:
        name, task, spark, wide, wider = self._columns(width)
        now = self.avo.clock()
        if s.error is not None:
            return line(
                (fit(one_line(s.name), name), ""),
                (" ✕ ", "bad"),
                (cut(one_line(s.error), width - name - 3), "dim"),
            )
        glyph, word, role = STATES[s.state or "lost"]
        role = {
            "state-paused": "warn",
            "state-parked": "info",
            "state-lost": "bad",
            "state-over": "dim",
        }.get(role, role)
        best = (
            "–"
            if s.ratio is None
            else f"{show.ratio(s.ratio)} {one_line(s.reference_baseline)[:8]}"
        )
        spent, fraction = show.spend(s.budget.run, s.spend)
        spans: list[Span] = [
            (fit(one_line(s.name), name) + " ", "strong"),
            (fit(one_line(s.task), task) + " ", "dim"),
            (fit(f"{glyph} {word.lower()}", 13), role),
            (fit_right(best, 16), "good" if (s.ratio or 0) >= 1 else ""),
            (fit_right(str(s.versions), 10), ""),
        ]
        if wide:
            spans.append(
                (
                    fit_right(spent if len(spent) <= 11 else spent.split("/")[0], 12),
                    "warn" if fraction >= 0.8 else "dim",
                )
            )
        if wider:
            spans.append((fit_right(show.ago(s.created, now), 8), "dim"))
        spans.append((fit_right(show.ago(s.last_activity, now), 9), "dim"))
        if spark:
            spans.append(("  " + show.sparkline(list(s.sparkline), spark), "curve"))
        return line(*spans)

    # -- actions

    @on(SessionList.Opened)
    def _opened(self) -> None:
        self.action_act("open")

    def do_open(self) -> None:
        """Open the session."""
        if self.current is not None:
            self.avo.open_folder(self.current.folder)

    def do_replay(self) -> None:
        """Replay the session."""
        if self.current is not None:
            self.avo.open_replay(self.current.folder)

    def do_start(self) -> None:
        """Start the engine, then open."""
        start, current = self.avo.services.start_engine, self.current
        if start is None or current is None:
            return
        self.app.notify(f"starting {current.name} …", timeout=3, markup=False)
        folder = current.folder

        def work() -> None:
            try:
                start(folder)
            except Exception as error:  # its sentence is for the person
                self.app.call_from_thread(
                    self.app.notify, str(error), severity="error", timeout=10, markup=False
                )
            else:
                self.avo.from_thread(self.avo.open_folder, folder)

        self.run_worker(work, thread=True, group="start", exclusive=True, exit_on_error=False)

    def do_new(self) -> None:
        """The form of a new session."""
        from avo_tui.ui.screens.new_session import NewSessionDialog

        self.app.push_screen(NewSessionDialog(), self._created)

    def _created(self, folder: Any) -> None:
        if folder is not None:
            self.avo.open_folder(folder)

    def do_filter(self) -> None:
        """Filter the list."""
        self.query_one(FindBar).open("/ filter")

    @on(FindBar.Changed)
    def _find_changed(self, event: FindBar.Changed) -> None:
        self.needle = event.text
        self._filter()
        self.query_one(FindBar).set_count(f"{len(self.shown)} of {len(self.found)}")
        self._show()
        if event.done:
            self.query_one(SessionList).focus()

    @on(FindBar.Closed)
    def _find_closed(self) -> None:
        self.needle = ""
        self._filter()
        self._show()
        self.query_one(SessionList).focus()

    def do_quit(self) -> None:
        """Leave, or end the filter first."""
        if self.needle:
            self._find_closed()
        else:
            self.avo.leave()
