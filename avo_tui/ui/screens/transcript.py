"""The whole conversation of a step: text, folded tool calls, results, and hints at their place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult

from avo_tui.domain.records import LIVE_STATES
from avo_tui.ui import formats, screens
from avo_tui.ui.actions import Action, Actions
from avo_tui.ui.loader import Failed
from avo_tui.ui.panes.base import teach
from avo_tui.ui.panes.plan import entry_lines, plan_lines
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.session.step_view import Entry, StepView, fold
from avo_tui.ui.text import BLANK, Line, clean_lines, line, prose, wrap
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.pane import Pane

RESULT_LINES = 400
RESULT_BYTES = 200_000
"""Of one result, at most; the log screen has the whole."""


@dataclass(frozen=True)
class Whole:
    """Where the complete text of a result is stored."""

    ref: str
    name: str


def beginning(chunks: Iterable[bytes]) -> str:
    """The first part of a text, slightly more than is shown."""
    out = b""
    for chunk in chunks:
        out += chunk
        if len(out) > RESULT_BYTES:
            break
    return out[: RESULT_BYTES * 4].decode("utf-8", "replace")


def stream_rows(
    stream: Iterable[Entry],
    unfolded: Collection[str] | None,
    result: Callable[[Entry], Sequence[Line]],
    width: int,
) -> list[Line]:
    """The rows of a step's entries. Prose and unfolded tools stand apart from what is around them.

    `unfolded` holds the keys of the tools to show with their results, None for all of them;
    `result` gives the rows of one.
    """
    rows: list[Line] = []
    for entry in stream:
        open_tool = entry.kind == "tool" and (unfolded is None or entry.key in unfolded)
        apart = open_tool or entry.kind in {"text", "thought"}
        if apart and rows and rows[-1].spans:
            rows.append(BLANK)
        head = [row._replace(meta=entry.key) for row in entry_lines(entry, width)]
        if open_tool:
            (glyph, role), *rest = head[0].spans
            head[0] = head[0]._replace(spans=((glyph.replace("▸", "▾"), role), *rest))
            head += result(entry)
        rows += head
        if apart:
            rows.append(BLANK)
    return rows


class TranscriptScreen(DetailScreen):
    """One step. A click on a tool call shows its whole result."""

    act = Actions["TranscriptScreen"]("look")

    MAIN = "#transcript-view"
    ABOUT = "Everything that was said and done in a step, in order. A click on a tool unfolds it."
    PANES = {"transcript": ("Transcript", "Prose, tools, results, hints.")}  # noqa: RUF012

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.unfolded: set[str] = set()
        self.all_unfolded = False
        self._painted: object = None
        self._waiting = False
        """A result is being read: what is shown is not all."""

    def body(self) -> ComposeResult:
        with Pane(key="", title="Transcript", id="transcript"):
            yield LinesView(id="transcript-view", follow=True)

    def _view(self) -> StepView | Failed | None:
        source = self.host.session.source
        assert self.snapshot is not None
        if self.step == self.snapshot.live.number:
            return self.snapshot.live
        if source is None:
            return None
        return self.loader.get(("step", self.step), lambda: fold(source.events(step=self.step)))

    def repaint(self) -> None:
        assert self.snapshot is not None
        view = self._view()
        pane = self.query_one("#transcript", Pane)
        pane.set_heading(f"Step {self.step}")
        if isinstance(view, StepView):
            going = "running" if self.snapshot.run_state in LIVE_STATES else "not ended"
            outcome = {"nothing": "nothing committed", None: going}.get(view.outcome, view.outcome)
            pane.set_info([(f"{formats.many(view.attempts, 'attempt')} · {outcome}", "dim")])
        basis = (view, frozenset(self.unfolded), self.all_unfolded, self.main.size.width)
        if basis == self._painted and not self._waiting:
            return
        self._waiting = False
        fresh = self._painted is None or not isinstance(view, StepView)
        self._painted = basis
        if isinstance(view, Failed):
            reason = view.reason
            self.main.show(lambda width: teach("The step cannot be read.", reason), reset=True)
        elif view is None:
            self.main.show(lambda width: teach("reading the step …"), reset=True)
        else:
            shown = view
            self.main.show(lambda width: self._rows(shown, width), reset=fresh)

    def _rows(self, view: StepView, width: int) -> Sequence[Line]:
        rows: list[Line] = []
        if view.title or view.items:
            rows += [*plan_lines(view.title, view.items, width), BLANK]
        unfolded = None if self.all_unfolded else self.unfolded
        rows += stream_rows(view.stream, unfolded, partial(self._result, width=width), width)
        return rows or teach(f"Nothing was recorded of step {view.number}.")

    def _result(self, entry: Entry, width: int) -> list[Line]:
        source = self.host.session.source
        gutter = ("  ┊ ", "faint")
        if entry.ref is None or source is None:
            return prose(entry.detail, width, "dim", gutter) if entry.detail else []
        ref = entry.ref
        text = self.loader.get(("text", ref), lambda: beginning(source.chunks(ref)))
        if text is None:
            self._waiting = True
            return [line(gutter, ("reading …", "faint"))]
        if isinstance(text, Failed):
            return [line(gutter, (text.reason, "bad"))]
        rows = clean_lines(text[:RESULT_BYTES].rstrip("\n"))
        out = [
            line(gutter, (part, "dim"), gutter=4, meta=Whole(ref, entry.text))
            for row in rows[:RESULT_LINES]
            for part in wrap(row, width - 4)
        ]
        if len(rows) > RESULT_LINES or len(text) > RESULT_BYTES:
            notice = [
                ("… it goes on: ", "faint"),
                ("o", "key"),
                (" opens the whole of it", "faint"),
            ]
            out.append(line(gutter, *notice, gutter=4, meta=Whole(ref, entry.text)))
        return out

    @act("left_square_bracket", "The step before.", footer=1, label="step before")
    def older(self) -> None:
        self.go(-1)

    @act("right_square_bracket", "The next step.", footer=2, label="next step")
    def newer(self) -> None:
        self.go(1)

    @act(
        "o",
        "A tool's whole result: the first that is seen.",
        footer=4,
        id="open",
        label="whole result",
    )
    def open_result(self) -> None:
        """The whole result of the first tool that is seen unfolded."""
        source, top = self.host.session.source, self.main.scroll_offset.y
        seen = (self.main.row(y).meta for y in range(top, top + self.main.size.height))
        whole = next((meta for meta in seen if isinstance(meta, Whole)), None)
        if whole is None or source is None:
            self.app.notify("no result is unfolded here: space unfolds all, a click one", timeout=3)
        else:
            self.host.push_screen(screens.LogScreen(whole.name, lambda: source.chunks(whole.ref)))

    def on_click(self, event: events.Click) -> None:
        if event.widget is not self.main:
            return
        row = self.main.row(event.y + self.main.scroll_offset.y)
        if isinstance(row.meta, str):
            self.unfolded ^= {row.meta}
            self.paint_again()

    @act("space", "Show or fold every tool's result.", footer=3, label="unfold all")
    def unfold(self) -> None:
        self.all_unfolded = not self.all_unfolded
        self.paint_again()

    def go(self, by: int) -> None:
        assert self.snapshot is not None
        step = self.step + by
        if 0 <= step <= self.snapshot.session.step:
            self.step, self._painted = step, None
            self.paint_again()
        else:
            self.app.notify("there is no such step", timeout=2)

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *DETAIL)
