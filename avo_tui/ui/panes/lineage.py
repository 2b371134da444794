"""The lineage pane: the graph with a cursor, folds and a filter, and how its rows look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.message import Message

from avo_tui.domain.attempts import UNDECIDED, attempt_name, attempt_status, was_rejected
from avo_tui.domain.changes import change_of
from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.verdict import Verdict
from avo_tui.ui import formats
from avo_tui.ui.panes.graph import Attempts, GraphLayout, GraphRow, Key, Row, Versions
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import Line, Span, crop, cut, fit, fit_right, line, one_line, width_of
from avo_tui.ui.widgets.lines import LazyRows
from avo_tui.ui.widgets.lists import CursorList


@dataclass(frozen=True)
class Matches:
    """The result of a filter on one lineage; reused until the lineage or the text changes."""

    needle: str
    rows: list[GraphRow]
    places: dict[Key, int]
    basis: tuple[Versions, Attempts, int | None]

    @classmethod
    def of(
        cls, snapshot: Snapshot, needle: str, live_step: int | None, before: Matches | None
    ) -> Matches:
        """The rows of a snapshot that contain `needle`; returns `before` if it is still valid."""
        versions, attempts = snapshot.versions, snapshot.attempts
        known = before is not None and before.basis
        same = known and known[0] is versions and known[1] is attempts and known[2] == live_step
        if same and before is not None and before.needle == needle:
            return before
        low = needle.casefold()
        if same and before is not None and before.needle.casefold() in low:
            candidates = before.rows  # typed on: only fewer can be left
        else:
            layout, unfolded = GraphLayout(), frozenset(step for step, _ in attempts)
            layout.update(versions, attempts, None, unfolded, live_step)
            candidates = layout.drawn
        matching_rows = [
            GraphRow(drawn.row, 0, (True,), (), False, frozenset())
            for drawn in candidates
            if low in text_of(drawn.row, snapshot).casefold()
        ]
        places = {d.row.key: i for i, d in enumerate(matching_rows)}
        return cls(needle, matching_rows, places, (versions, attempts, live_step))


def text_of(row: Row, snapshot: Snapshot) -> str:
    """The text of a row that the filter searches."""
    if row.kind == "version":
        return _of_version(snapshot.versions[row.number])
    attempt = snapshot.attempts.get((row.step, row.number))
    return "" if attempt is None else _of_attempt(attempt, snapshot.open_step)


def _of_version(v: Version) -> str:
    return f"v{v.number} {v.idea} {v.plan} {v.summary} {v.maker} {v.bookmark or ''} {v.note}"


def _of_attempt(a: Attempt, step: int | None) -> str:
    kind = " rejected" if was_rejected(a) else ""
    return f"{attempt_name(a)} {a.title} {a.reason} {attempt_status(a, step)}{kind}"


NAME = 6
"""Width in cells of a version's or attempt's name, so that the ratios are aligned."""

WITH_THROUGHPUT = 76
"""Width in cells from which a row has a column for the throughput."""
WITH_AUTHOR = 96
"""Width in cells from which a row has a column for who made the version."""
BY = 20
"""Width in cells of that column."""


@dataclass(frozen=True, slots=True)
class LineageContext:
    """The data a row needs in addition to its own record."""

    versions: Mapping[int, Version]
    attempts: Mapping[tuple[int, int], Attempt]
    aggregates: Mapping[int, float]
    best: int | None
    head: int | None
    stage: str = ""
    """What the open attempt is doing."""
    marked: frozenset[int] = frozenset()
    unit: str = ""
    operator: str = ""
    """The run's operator; a version by another author shows that author."""
    lanes: int = 0
    """Number of lanes to reserve, so that names begin in the same column in every row."""


def row_line(drawn: GraphRow, context: LineageContext, width: int) -> Line:
    """One row: lanes, name, score chip, change, title."""
    most = 5 if width < 70 else 10
    lanes = (most, min(context.lanes, most))
    row = drawn.row
    if row.kind == "version":
        return _version(drawn, context, width, lanes)
    if row.kind in {"fold", "stall"}:
        stall = row.kind == "stall"
        spans = _lanes(drawn, "✕", "faint", lanes)
        steps = f"  steps {row.first_step}–{row.step}" if stall else f"  step {row.step}"
        numbers = range(row.first_step if stall else row.step, row.step + 1)
        folded = [a for n in numbers for a in _of_step(context, n) if a.version is None]
        word = "rejected" if all(map(was_rejected, folded)) else "not committed"
        spans += [(f"{row.number} {word}", "dim"), (steps, "faint")]
        best = max((a.aggregate for a in folded), default=0.0)
        furthest = f"  best {formats.ratio(best)}"
        if best > 0 and width_of(spans) + len(furthest) <= width:
            spans.append((furthest, "faint"))
        return line(*spans, meta=row.key)
    attempt = context.attempts.get((row.step, row.number))
    title = one_line(attempt.title) if attempt else ""
    if row.kind == "running":
        spans = _lanes(drawn, "◌", "running", lanes)
        spans += [
            (_name(f"{row.step}.{row.number}", NAME), "running"),
            (context.stage or "starting", "running"),
        ]
        if attempt is not None and attempt.aggregate:
            spans.insert(-1, (fit_right(formats.ratio(attempt.aggregate), 7) + "  ", "running"))
        room = width - width_of(spans) - 2
        if title and room > 8:
            spans.append(("  " + cut(title, room), "dim"))
        return line(*spans, meta=row.key)
    lost = attempt is None or was_rejected(attempt)
    spans = _lanes(drawn, "✕" if lost else "·", "faint", lanes)
    spans.append((_name(f"{row.step}.{row.number}", NAME), "dim"))
    if attempt is not None:
        why = _why(attempt)
        spans.append(
            (fit_right(formats.ratio(attempt.aggregate), 7) + "  ", "dim")
            if attempt.aggregate
            else (" ", "")
        )
        spans.append((cut(why, max(4, width - width_of(spans))), "faint"))
    return line(*spans, meta=row.key)


def _name(text: str, width: int) -> str:
    """A name and a gap, in the same width for all but the longest."""
    return fit(text, max(width, len(text) + 1))


def _of_step(context: LineageContext, step: int) -> list[Attempt]:
    out = []
    number = 1
    while (attempt := context.attempts.get((step, number))) is not None:
        out.append(attempt)
        number += 1
    return out


def _why(attempt: Attempt) -> str:
    if attempt.verdict is None:
        return "interrupted"
    if attempt.verdict is not Verdict.CORRECT:
        verdict_text = attempt.verdict.value.replace("_", " ")
        return f"{verdict_text}  {one_line(formats.minus(attempt.reason) or attempt.title)}"
    return one_line(attempt.title or formats.minus(attempt.reason))


def _lanes(drawn: GraphRow, glyph: str, role: str, lanes: tuple[int, int]) -> list[Span]:
    """The lanes, at most and at least so many."""
    most, least = lanes
    spans = [(t, role if r == "node" else r) for t, r in prefix(drawn, glyph, most)]
    return [*spans, (" " * max(1, 2 * least - width_of(spans) + 1), "")]


def prefix(drawn: GraphRow, glyph: str, limit: int) -> list[tuple[str, str]]:
    """The lanes of a row as (text, role) spans, two cells per lane, at most `limit` lanes.

    Roles: `lane` on the head's line, `lane-dead` elsewhere, `node` for the glyph.
    """

    def role(i: int) -> str:
        return "lane-dead" if i in drawn.dead else "lane"

    out: list[tuple[str, str]] = []
    last_merge = max(drawn.merges, default=-1)
    for i in range(min(len(drawn.lanes), limit)):
        beyond = i == limit - 1 and len(drawn.lanes) > limit
        if drawn.leaf and i == drawn.lane:
            out += [("├", role(i)), (glyph, "node")]
            continue
        if i == drawn.lane:
            out.append((glyph, "node"))
        elif i in drawn.merges:
            out.append(("╯" if i == last_merge else "┴", role(i)))
        elif drawn.lane < i < last_merge:
            out.append(("┼" if drawn.lanes[i] else "─", role(last_merge)))
        elif drawn.lanes[i]:
            out.append(("┊" if beyond else "│", role(i)))
        else:
            out.append((" ", ""))
        stroke = drawn.lane <= i < last_merge
        out.append(("─" if stroke else " ", role(last_merge) if stroke else ""))
    if drawn.lane >= limit:
        out[-1:] = [(glyph, "node")]
    return out


def _version(drawn: GraphRow, context: LineageContext, width: int, lanes: tuple[int, int]) -> Line:
    version = context.versions[drawn.row.number]
    number = version.number
    if number == context.best:
        glyph, role = version.star, "best"
    elif number == context.head:
        glyph, role = "●", "head"
    else:
        glyph, role = "○", "lane-dead" if drawn.lane in drawn.dead else "lane"
    dead = drawn.lane in drawn.dead
    spans = _lanes(drawn, glyph, role, lanes)
    name_role = "best" if number == context.best else "head" if number == context.head else ""
    if dead and not name_role:
        name_role = "dim"
    mark = "◈" if number in context.marked else " "
    spans.append((_name(f"v{number}", NAME), name_role))
    value = context.aggregates.get(number, 0.0)
    spans.append((fit_right(formats.ratio(value), 7), "dim" if dead else "strong"))
    change = change_of(version, context.versions, context.aggregates)
    spans.append((fit_right(formats.gain(change), 8), formats.gain_role(change)))
    if width >= WITH_THROUGHPUT:
        spans.append((fit_right(formats.throughput(version.score.geomean), 10), "dim"))
    by_others = version.author not in {"agent", "tuner", "seed", "recorded", context.operator}
    if width >= WITH_AUTHOR:
        by = "  " + fit(one_line(version.model or version.author), BY - 2)
        spans.append((by, "hint" if by_others else "faint"))
    spans.append((mark + " ", "accent"))
    tags: list[Span] = []
    if version.flag:
        room = max(16, (width - width_of(spans)) // 2)
        tags.append((f"⚑ {cut(one_line(version.flag), room)} ", "bookmark"))
    if number == context.head and number == context.best:
        tags.append(("head ", "head"))
    if by_others and width < WITH_AUTHOR:
        tags.append((f"{version.author} ", "hint"))
    spans += tags
    title = "seed" if version.author == "seed" and not version.plan else version.title
    first = one_line(title)
    room = width - width_of(spans)
    if first and room > 3:
        spans.append((cut(first, room), "faint" if dead else "dim"))
    return line(*crop(spans, width), meta=drawn.row.key)


def steps_of(stall: Row) -> frozenset[int]:
    """The numbers of the steps that a stall holds."""
    return frozenset(range(stall.first_step, stall.step + 1))


class LineageView(CursorList):
    """Widget for the graph. The cursor stays on its entry when rows are added above it."""

    BINDINGS = [  # noqa: RUF012
        Binding("space", "fold", show=False),
        Binding("enter", "open", show=False),
    ]

    class Picked(Message):
        """The cursor is on another row than before."""

    def __init__(self, id: str) -> None:
        super().__init__(id, head=0)
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
            marked=self.marked,
            unit=snapshot.session.task.unit,
            operator=snapshot.session.settings.operator,
            lanes=self._layout.width if self._matches is None else 1,
        )
        if not changed and given == self._given:
            return
        self._given, self.count = given, len(self._drawn)
        old_place = self.place
        self.show(self._made)
        if self.cursor is not None and self.cursor not in self._places:
            stall = self._stall_of(self.cursor)
            self.cursor = None if stall is None else stall.key
            self.post_message(self.Picked())
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
        drawn, given = self._drawn, self._given
        return LazyRows(len(drawn), lambda index: row_line(drawn[index], given, width))

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
        task = self._snapshot.session.task if self._snapshot else None
        throughput = (given.unit,) if self.room >= WITH_THROUGHPUT else ()
        author = ("by",) if self.room >= WITH_AUTHOR else ()
        reference, label = (task.reference_baseline, task.measured_by) if task else ("", "")
        shown = (f"× {one_line(reference)}", "gain at the gate", *throughput, *author, label)
        return tuple(filter(None, shown))

    # -- filter, folds, marks

    def filter(self, text: str) -> int:
        """Show only rows that hold `text`; returns how many."""
        self.needle = text
        self._refresh_rows()
        if text and self._drawn and self.cursor is None:
            # Keys act on the row under the cursor, so it must be one that is shown.
            self.cursor = self._drawn[0].row.key
            self.post_message(self.Picked())
        self.scroll_to(y=0, animate=False, force=True)
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
            self.post_message(self.Picked())

    def live(self) -> None:
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

    def action_move(self, by: int) -> None:
        if self._drawn:
            index = max(0, min(self.place + by, len(self._drawn) - 1))
            self.pick(self._drawn[index].row.key)

    def action_open(self) -> None:
        """Unfold, or open what the cursor points at."""
        drawn = self._under()
        if drawn is not None and drawn.row.kind in {"fold", "stall"}:
            self.action_fold()
        elif drawn is not None:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        """A click picks a row; a second one opens it."""
        event.prevent_default()  # of a list in which a row is its own entry
        clicked_row = event.y + self.scroll_offset.y
        if 0 <= clicked_row < len(self._drawn):
            opens = event.chain > 1 or self._drawn[clicked_row].row.kind in {"fold", "stall"}
            self.pick(self._drawn[clicked_row].row.key, tell=not opens)
            if opens:
                self.action_open()

    def over(self, index: int) -> str:
        if self.cursor is None or index != self.place:
            return ""
        return "cursor" if self.has_focus else "cursor-blur"
