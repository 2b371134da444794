"""All attempts as a table: the result of each and the reason, filtered and sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult

from avo_tui.domain.attempts import (
    FILTERS,
    ORDERS,
    AttemptOrder,
    attempt_matches,
    attempt_name,
    attempt_reason,
    attempt_status,
    is_open,
    ordered,
)
from avo_tui.domain.records import Attempt
from avo_tui.domain.verdict import Verdict
from avo_tui.ui import formats, screens
from avo_tui.ui.actions import Action, Actions, Reason
from avo_tui.ui.panes.base import teach
from avo_tui.ui.panes.graph import Key, key_of_version
from avo_tui.ui.screens.detail import DetailScreen, but
from avo_tui.ui.text import Line, Span, crop, fit, fit_right, line, one_line, prose
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LazyRows, LinesView
from avo_tui.ui.widgets.lists import CursorList
from avo_tui.ui.widgets.pane import Pane

STATUS = 15
"""Width in cells of the column with the result of an attempt."""
WIDE = 110
"""Width in cells from which a row says the parent and the time."""


def heading(width: int) -> Line:
    """What the columns of `attempt_row` are."""
    text = "  " + fit("name", 8) + fit("result", STATUS) + " " + fit_right("score", 7) + "  "
    if width >= WIDE:
        text += fit("from", 10) + fit("when", 14)
    return line((text + "why it was turned down, what was tried", "faint"))


def attempt_row(attempt: Attempt, step: int | None, width: int) -> Line:
    """One attempt: name, what became of it, score, time, why it was turned down, what was tried.

    `step` is the open step.
    """
    status = attempt_status(attempt, step)
    role = "faint"
    glyph = "✕"
    if attempt.version is not None:
        glyph, role = "○", "good"
    elif is_open(attempt, step):
        glyph, role = "◌", "running"
    elif attempt.undecided:
        glyph, role = "·", "dim"
    elif attempt.verdict is Verdict.SUSPICIOUS:
        glyph, role = "!", "warn"
    elif attempt.verdict is not Verdict.CORRECT:
        role = "bad"
    spans: list[Span] = [
        (f"{glyph} ", role),
        (fit(attempt_name(attempt), 8), ""),
        (fit(status, STATUS) + " ", role),
        (fit_right(formats.ratio(attempt.aggregate), 7) + "  ", "strong"),
    ]
    if width >= WIDE:
        spans.append((f"from v{attempt.parent}".ljust(10), "dim"))
        spans.append((f"{attempt.at:%d %b %H:%M}  ", "faint"))
    room = width - sum(len(text) for text, _ in spans)
    reason = one_line(formats.minus(attempt.reason))
    told = [
        (f"{reason}  " if reason and attempt.title else reason, ""),
        (one_line(attempt.title), "dim"),
    ]
    spans += crop([span for span in told if span[0]], max(4, room))
    return line(*spans)


class AttemptsScreen(DetailScreen):
    """A table; the reason of the attempt under the cursor is written out below it."""

    act = Actions["AttemptsScreen"]("attempts")

    MAIN = "#attempts-view"
    FIND = "/ rejected wrong noise suspicious, or text"
    ABOUT = (
        "Every candidate that was evaluated, with what became of it and why. / filters: by the "
        "words " + ", ".join(FILTERS) + ", and by any other text; several words must all hold. "
        "`no decision`: correct, but its step ended before the gate was asked or had decided. "
        "s sorts by time, score or status. enter inspects the attempt on the run screen."
    )
    PANES = {  # noqa: RUF012
        "attempts": ("Attempts", "One row for each: name, what became of it, score, why."),
        "reason": ("Reason", "Why the attempt under the cursor did not become a version."),
    }

    def __init__(self, needle: str = "") -> None:
        super().__init__()
        self.needle, self.order = needle, ORDERS[0]
        self.searching = bool(needle)
        self.attempts: Sequence[Attempt] = ()
        """Those that the filter leaves, in the order of the rows."""
        self._listed: object = None
        """The input that the rows were made from."""

    def body(self) -> ComposeResult:
        with Pane(key="", title="Attempts", id="attempts"):
            yield CursorList(id="attempts-view")
        with Pane(key="", title="Reason", id="reason"):
            yield LinesView(id="reason-view")

    @property
    def table(self) -> CursorList:
        return self.query_one(CursorList)

    @property
    def current(self) -> Attempt | None:
        return self.attempts[self.table.index] if self.attempts else None

    def repaint(self) -> None:
        """Rows, where they differ from those that are shown; the reason."""
        assert self.snapshot is not None
        everything = self.snapshot.attempts
        step = self.snapshot.open_step
        basis = (id(everything), step, self.needle, self.order)
        if basis != self._listed:
            self._listed = basis
            kept = [a for a in everything.values() if attempt_matches(a, self.needle, step)]
            empty = "No attempt was made yet."
            if self.needle:
                empty = f"No attempt matches “{one_line(self.needle)}”. esc shows all of them."
            self._list(ordered(kept, self.order, step), step, empty)
            count = f"{len(kept):,} of {len(everything):,}" if self.needle else f"{len(kept):,}"
            info: list[Span] = [(f"{count} · by {self.order}", "dim")]
            if self.needle:
                info = [(f"{one_line(self.needle)}  ", "warn"), *info]
            self.query_one("#attempts", Pane).set_info(info)
        self._reason()

    def _list(self, attempts: Sequence[Attempt], step: int | None, empty: str) -> None:
        """Show these rows, the cursor on the attempt that it was on."""
        before, table = self.current, self.table
        self.attempts = attempts
        name = None if before is None else attempt_name(before)
        table.index = next((i for i, a in enumerate(attempts) if attempt_name(a) == name), 0)
        table.count = len(attempts)

        def rows(width: int) -> Sequence[Line]:
            if not attempts:
                return teach(*(row.plain for row in prose(empty, width)))

            def row(index: int) -> Line:
                return attempt_row(attempts[index - 1], step, width) if index else heading(width)

            return LazyRows(len(attempts) + 1, row)

        table.show(rows)

    @on(CursorList.Moved)
    def _reason(self) -> None:
        attempt = self.current
        pane, view = self.query_one("#reason", Pane), self.query_one("#reason-view", LinesView)
        if attempt is None:
            pane.set_heading("Reason")
            view.show(lambda width: [])
            return
        step = self.snapshot.open_step if self.snapshot is not None else None
        pane.set_heading(f"{attempt_name(attempt)} {attempt_status(attempt, step)}")
        text = formats.minus(attempt_reason(attempt, step))
        view.show(
            lambda width: [
                *prose(attempt.title, width, "strong"),
                *prose(text, width),
            ],
            reset=True,
        )

    @on(CursorList.Opened)
    def _opened(self) -> None:
        self.action_act("show")

    def find(self, text: str, done: bool) -> str:
        self.needle = text
        self.paint_again()
        return f"{len(self.attempts):,} of {len(self.snapshot.attempts if self.snapshot else ()):,}"

    def on_attempt(self) -> Reason:
        return None if self.current is not None else "there is no attempt under the cursor"

    @act(
        "slash",
        "Filter: rejected, wrong, failed, noise, suspicious, committed, or any text.",
        footer=2,
        id="filter",
    )
    def open_filter(self) -> None:
        self.query_one(FindBar).open(self.FIND)

    @act("s", "By time, by score, by what became of them.", footer=3, id="sort")
    def next_order(self) -> None:
        order: AttemptOrder = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.order = order
        self.paint_again()

    @act(
        "enter",
        "Inspect it on the run screen.",
        on_attempt,
        footer=1,
        id="show",
        label="show in run",
    )
    def show_in_run(self) -> None:
        attempt = self.current
        if attempt is not None:
            key: Key = ("a", attempt.step, attempt.number)
            self.dismiss(key_of_version(attempt.version) if attempt.version is not None else key)

    @act("t", "The whole conversation of its step.", on_attempt, footer=4)
    def transcript(self) -> None:
        if self.current is not None:
            self.host.push_screen(screens.TranscriptScreen(self.current.step))

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *but("filter", "next_hit"))
