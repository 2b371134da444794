"""The lineage pane: the graph with a cursor, folds and a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import overload

from textual import events
from textual.binding import Binding
from textual.message import Message

from avo_tui.domain.attempts import UNDECIDED
from avo_tui.ui.panes.lineage.filter import Matches
from avo_tui.ui.panes.lineage.graph_layout import GraphRow, Key, Row
from avo_tui.ui.panes.lineage.layout_cache import GraphLayout
from avo_tui.ui.panes.lineage.row_painter import WITH_THROUGHPUT, LineageContext, row_line
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import Line, line, one_line
from avo_tui.ui.widgets.lines import LinesView


class _Rows(Sequence[Line]):
    """Rows that are formatted only when they are displayed."""

    def __init__(self, drawn: Sequence[GraphRow], context: LineageContext, width: int) -> None:
        self.drawn, self.context, self.width = drawn, context, width
        self._made: dict[int, Line] = {}

    def __len__(self) -> int:
        return len(self.drawn)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = self._made.get(index)
        if row is None:
            if len(self._made) > 2000:
                self._made.clear()
            row = self._made[index] = row_line(self.drawn[index], self.context, self.width)
        return row


def steps_of(stall: Row) -> frozenset[int]:
    """The numbers of the steps that a stall holds."""
    return frozenset(range(stall.first_step, stall.step + 1))


class LineageView(LinesView):
    """Widget for the graph. The cursor stays on its entry when rows are added above it."""

    BINDINGS = [  # noqa: RUF012
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home,g", "move_to(0)", show=False),
        Binding("end,G", "move_to(-1)", show=False),
        Binding("space", "fold", show=False),
        Binding("enter", "open", show=False),
    ]

    class Picked(Message):
        """The cursor was moved to a row by the person."""

        def __init__(self, view: LineageView, key: Key) -> None:
            super().__init__()
            self.view, self.key = view, key

    class Opened(Message):
        """Enter or a second click on a row."""

        def __init__(self, view: LineageView, key: Key) -> None:
            super().__init__()
            self.view, self.key = view, key

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor: Key | None = None
        """Key of the selected row; None while the view follows the run."""
        self.unfolded: frozenset[int] = frozenset()
        self.apart: frozenset[int] = frozenset()
        """Steps that are shown individually instead of as a stall."""
        self.marked: frozenset[int] = frozenset()
        self.needle = ""
        self._snapshot: Snapshot | None = None
        self._layout = GraphLayout()
        self._matches: Matches | None = None
        """The rows that match the filter; None without a filter."""
        self._given: LineageContext | None = None

    # -- content

    def update_from(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        self._snapshot = snapshot
        self._refresh_rows()

    def _refresh_rows(self) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        live = snapshot.session.step if snapshot.open_attempt is not None else None
        changed = self._layout.update(
            snapshot.versions,
            snapshot.attempts,
            snapshot.session.head,
            self.unfolded,
            live,
            self.apart,
        )
        if self.needle:
            before = self._matches
            self._matches = Matches.of(snapshot, self.needle, live, before)
            changed = changed or self._matches is not before
        elif self._matches is not None:
            self._matches, changed = None, True
        given = LineageContext(
            versions=snapshot.versions,
            attempts=snapshot.attempts,
            aggregates=snapshot.aggregates,
            best=None if snapshot.best is None else snapshot.best.number,
            head=snapshot.session.head,
            stage=self._stage(snapshot),
            unfolded=self.unfolded,
            marked=self.marked,
            unit=snapshot.session.task.unit,
            operator=snapshot.session.settings.operator,
            lanes=self._layout.drawing.width if self._matches is None else 1,
        )
        if not changed and self._given is not None and given.same(self._given):
            return
        self._given = given
        old_place = self.place
        self.show(self._made)
        if self.cursor is not None and self.cursor not in self._places:
            stall = self._stall_of(self.cursor)
            self.cursor = None if stall is None else stall.key
        if self.cursor is not None and old_place != self.place:
            self.reveal()

    def _stall_of(self, key: Key) -> Row | None:
        """The stall that a row was folded into; None where there is none."""
        kind, step, _ = key
        if kind == "v":
            return None
        rows = (d.row for d in self._drawn if d.row.kind == "stall")
        return next((row for row in rows if row.first_step <= step <= row.step), None)

    @property
    def _drawn(self) -> Sequence[GraphRow]:
        return self._layout.drawn if self._matches is None else self._matches.rows

    @property
    def _places(self) -> Mapping[Key, int]:
        return self._layout.places if self._matches is None else self._matches.places

    def _made(self, width: int) -> Sequence[Line]:
        if self._given is None:
            return ()
        if not self._drawn and self.needle:
            return [line(("nothing in the lineage holds ", "dim"), (self.needle, ""))]
        if not self._drawn:
            return [
                line(("The seed is being evaluated.", "dim")),
                line(("Versions appear here as they are committed,", "faint")),
                line(("newest first, with what was tried and rejected.", "faint")),
            ]
        return _Rows(self._drawn, self._given, width)

    @staticmethod
    def _stage(snapshot: Snapshot) -> str:
        view = snapshot.live.attempt
        stage = view.current if view is not None else None
        if stage is None and snapshot.pending_approval is not None:
            return "waits for approval"
        if stage is None:
            return "evaluating" if view is None or view.report is None else UNDECIDED
        if snapshot.run_state == "lost":
            return "interrupted"
        count = f" {stage.index}/{stage.count}" if stage.count else ""
        return f"{stage.stage}{count}"

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of figures are; none without versions."""
        given = self._given
        if given is None or not given.versions:
            return ()
        reference = self._snapshot.session.task.reference_baseline if self._snapshot else ""
        throughput = (given.unit,) if self.room >= WITH_THROUGHPUT else ()
        return (f"× {one_line(reference)}", "gain at the gate", *throughput)

    # -- filter, folds, marks

    def filter(self, text: str) -> int:
        """Show only rows that hold `text`; returns how many."""
        self.needle = text
        self._refresh_rows()
        if text and self._drawn and self.cursor is None:
            # Keys act on the row under the cursor, so it must be one that is shown.
            self.cursor = self._drawn[0].row.key
            self.post_message(self.Picked(self, self.cursor))
        self.scroll_to(y=0, animate=False, force=True)
        return len(self._drawn)

    @property
    def count(self) -> int:
        """Rows of the lineage that are shown."""
        return len(self._drawn)

    def action_fold(self) -> None:
        """Fold or unfold the rejected attempts of the step under the cursor."""
        drawn = self._under()
        if drawn is None:
            return
        step = drawn.row.step
        if drawn.row.kind == "stall":
            self._open_stall(drawn.row)
            return
        self.unfolded = self.unfolded ^ {step}
        if drawn.row.kind == "fold":
            self.cursor = None
        self._refresh_rows()
        if drawn.row.kind == "fold":
            first = next(
                (d.row.key for d in self._drawn if d.row.step == step and d.row.kind == "attempt"),
                None,
            )
            if first is not None:
                self.pick(first)
        elif drawn.row.kind == "attempt":
            self.pick(("f", step, 0))

    def _open_stall(self, stall: Row) -> None:
        """Show each step of a stall by itself."""
        self.apart |= steps_of(stall)
        self.cursor = None
        self._refresh_rows()
        newest = next((d.row.key for d in self._drawn if d.row.step == stall.step), None)
        if newest is not None:
            self.pick(newest)

    def mark(self, number: int) -> None:
        """Mark or unmark a version for a comparison; the two newest marks are kept."""
        kept = [n for n in self.marked if n != number]
        if number not in self.marked:
            kept = [*kept[-1:], number]
        self.marked = frozenset(kept)
        self._refresh_rows()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable the space bar in a replay, where it plays or pauses; enter still unfolds."""
        replaying = self._snapshot is not None and self._snapshot.replay is not None
        return not (action == "fold" and replaying)

    # -- cursor

    @property
    def place(self) -> int:
        """Index of the cursor's row; 0 while the view follows the run."""
        return 0 if self.cursor is None else self._places.get(self.cursor, 0)

    def _under(self) -> GraphRow | None:
        return self._drawn[self.place] if self._drawn else None

    @property
    def key_under(self) -> Key | None:
        """Key of the row under the cursor."""
        drawn = self._under()
        return None if drawn is None else drawn.row.key

    def pick(self, key: Key, *, tell: bool = True) -> None:
        """Put the cursor on `key`; a stall that holds it is opened."""
        stall = None if key in self._places else self._stall_of(key)
        if stall is not None:
            self.apart |= steps_of(stall)
            self._refresh_rows()
        if key not in self._places:
            return
        self.cursor = key
        self.reveal()
        self.refresh()
        if tell:
            self.post_message(self.Picked(self, key))

    def live(self) -> None:
        """Follow the run again."""
        self.cursor = None
        self._scroll(0)
        self.refresh()

    def reveal(self) -> None:
        """Scroll so that the cursor is visible, with some rows around it."""
        cursor_row, top, height = self.place, self.scroll_offset.y, self.size.height
        if not top + 1 <= cursor_row < top + height - 1:
            self._scroll(
                max(
                    0,
                    cursor_row - height // 2
                    if abs(cursor_row - top) > height * 2
                    else cursor_row - 1
                    if cursor_row < top + 1
                    else cursor_row - height + 2,
                )
            )

    def _go(self, place: int) -> None:
        if self._drawn:
            self.pick(self._drawn[max(0, min(place, len(self._drawn) - 1))].row.key)

    def action_move(self, by: int) -> None:
        """Up or down."""
        self._go(self.place + by)

    def action_move_page(self, way: int) -> None:
        """A page up or down."""
        self._go(self.place + way * max(1, self.size.height - 2))

    def action_move_to(self, place: int) -> None:
        """To the first or the last row."""
        self._go(place if place >= 0 else len(self._drawn) - 1)

    def action_open(self) -> None:
        """Unfold, or open what the cursor points at."""
        drawn = self._under()
        if drawn is not None and drawn.row.kind in {"fold", "stall"}:
            self.action_fold()
        elif drawn is not None:
            self.post_message(self.Opened(self, drawn.row.key))

    def on_click(self, event: events.Click) -> None:
        """A click picks a row; a second one opens it."""
        clicked_row = event.y + self.scroll_offset.y
        if 0 <= clicked_row < len(self._drawn):
            if event.chain > 1 or self._drawn[clicked_row].row.kind in {"fold", "stall"}:
                self.pick(self._drawn[clicked_row].row.key, tell=False)
                self.action_open()
            else:
                self._go(clicked_row)

    def over(self, index: int) -> str:
        """The cursor's row."""
        if self.cursor is not None and index == self.place and self._drawn:
            return "cursor" if self.has_focus else "cursor-blur"
        return ""

    def on_focus(self) -> None:
        """The cursor is shown stronger with the focus."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor is shown weaker without the focus."""
        self.refresh()
