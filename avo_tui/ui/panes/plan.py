"""The plan pane: the operator's plan, or a version's story, above what was said in the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from rich.cells import cell_len

from avo_tui.domain.attempts import attempt_reason, was_rejected
from avo_tui.domain.records import Attempt, PlanItem, Version
from avo_tui.ui import formats
from avo_tui.ui.loader import Failed, Loader
from avo_tui.ui.panes.base import PanePainter, Selection, teach
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.session.step_view import Entry, StepView, fold
from avo_tui.ui.text import BLANK, Line, Span, crop, cut, line, one_line, prose, width_of
from avo_tui.ui.widgets.lines import LinesView

ITEM = {
    "todo": ("☐", "dim"),
    "doing": ("▶", "accent"),
    "done": ("✔", "good"),
    "dropped": ("✕", "faint"),
}

NOTES = {
    "worked": ("✔ ", "good"),
    "failed": ("✕ ", "bad"),
    "idea": ("◇ ", "warn"),
    "fact": ("· ", "dim"),
}
"""Categories of the memory's notes."""


NOT_THE_GATE = (
    "The aggregate is of one run. The gate measures a candidate and its rival in turn and decides "
    "by that, so a rejected attempt may show a higher aggregate than the best version."
)

_KEPT = {
    "- [ ] ": "todo",
    "- [>] ": "doing",
    "- [x] ": "done",
    "- [-] ": "dropped",
}
"""How the items of a plan are marked where it is kept with a version."""


def plan_lines(title: str, items: Sequence[PlanItem], width: int, most: int = 0) -> list[Line]:
    """Title and items; at most `most` rows if it is set, with a note of what was left out."""
    out = prose(title, width, "strong") if title else []
    blocks: list[list[Line]] = []
    first_open = 0
    for item in items:
        glyph, role = ITEM[item.status]
        text_role = {"done": "dim", "dropped": "faint", "doing": ""}.get(item.status, "")
        blocks.append(prose(item.text, width, text_role, (f"{glyph} ", role)))
        if item.status in {"done", "dropped"}:
            first_open = len(blocks)
    if not blocks:
        return out[:most] if most else out
    whole = sum(map(len, blocks))
    room = most - len(out) if most else whole
    if whole <= room:
        return out + [row for block in blocks for row in block]
    # Show the item in progress, and as many items around it as fit.
    first = last = min(first_open, len(blocks) - 1)
    used = len(blocks[first])
    while True:
        before = len(blocks[first - 1]) if first > 0 and first > first_open - 1 else None
        after = len(blocks[last + 1]) if last + 1 < len(blocks) else None
        if before is not None and used + before < room:
            first, used = first - 1, used + before
        elif after is not None and used + after < room:
            last, used = last + 1, used + after
        else:
            break
    shown = [row for block in blocks[first : last + 1] for row in block]
    if len(shown) > max(1, room - 1):
        shown = shown[: max(1, room - 1)]
        shown[-1] = line(*crop(shown[-1].spans, width - 2), (" …", "faint"), gutter=2)
    hidden = len(blocks) - (last - first + 1)
    rest = [line((f"  … {hidden} more · z zooms", "faint"))] if hidden else []
    return [*out, *shown, *rest]


def stream_lines(view: StepView, width: int) -> list[Line]:
    """Everything said and done in the step, oldest first."""
    out: list[Line] = []
    previous = ""
    for entry in view.stream:
        if (entry.kind in {"text", "thought"} and previous and previous != entry.kind) or (
            previous in {"text", "thought"} and entry.kind not in {"text", "thought"}
        ):
            out.append(BLANK)
        out += kept_lines(entry, width)
        previous = entry.kind
    return out


@lru_cache(maxsize=4096)
def kept_lines(entry: Entry, width: int) -> tuple[Line, ...]:
    """Like `entry_lines`, but cached, because only the last entries of a stream change."""
    return tuple(entry_lines(entry, width))


def entry_lines(entry: Entry, width: int) -> list[Line]:
    if entry.kind == "text":
        return prose(entry.text.strip("\n"), width)
    if entry.kind == "thought":
        return prose(entry.text.strip("\n"), width, "thought", ("┊ ", "faint"))
    glyph, role = _GLYPHS[entry.kind]
    if entry.ok is False and entry.kind != "hint":
        glyph, role = "✕", "bad"
    elif entry.ok is True and entry.kind in {"tool", "attempt", "gate", "control"}:
        role = "good" if entry.kind != "tool" else "dim"
        glyph = "✔" if entry.kind != "tool" else glyph
    if entry.kind == "hint":
        rows = prose(f"“{entry.text}”", width, "hint", (f"{glyph} ", "hint"))
        return [*rows, line(("  " + cut(one_line(entry.detail), width - 2), "dim"), gutter=2)]
    name, rest = _words(entry)
    spans: list[Span] = [(f"{glyph} ", role), (name, "tool" if entry.kind == "tool" else "")]
    tail = f" {formats.seconds_of(entry.seconds)}" if entry.seconds >= 0.05 else ""
    room = width - width_of(spans) - len(tail) - (3 if tail else 2)
    if entry.kind in {"control", "trouble"} and cell_len(rest) > room:
        return [line(*spans, gutter=2), *prose(rest, width, "dim", ("  ", ""))]
    if rest and room > 6:
        spans.append(("  " + cut(rest, room), "dim"))
    if tail:
        gap = width - width_of(spans) - len(tail)
        spans.append((" " * max(gap, 0) + tail, "faint"))
    return [line(*spans, gutter=2)]


_GLYPHS = {
    "tool": ("▸", "dim"),
    "hint": ("»", "hint"),
    "attempt": ("◌", "running"),
    "gate": ("⇥", "dim"),
    "supervisor": ("!", "warn"),
    "trouble": ("✕", "bad"),
    "note": ("✎", "dim"),
    "control": ("■", "warn"),
}


def _words(entry: Entry) -> tuple[str, str]:
    text, detail = one_line(entry.text), one_line(entry.detail)
    if entry.kind == "attempt":
        number = entry.key[1:]
        return f"attempt {number}", " · ".join(p for p in (detail, text) if p)
    if entry.kind == "gate":
        return f"gate {detail}", text
    return text, detail


def version_story(version: Version, width: int) -> list[Line]:
    """A version in words: bookmark, note, plan, summary, gate, re-measurements."""
    out: list[Line] = []
    who = f"{one_line(version.maker, 80)} · step {version.step} · {version.created:%d %b %H:%M}"
    if version.parent is not None:
        who = f"from v{version.parent} by {who}"
    out.append(line((who, "dim")))
    if version.origin:
        out.append(line((f"carried over from {one_line(version.origin)}", "info")))
    if version.flag:
        out.append(line(("⚑ ", "bookmark"), (one_line(version.flag), "bookmark")))
    if version.note:
        out += prose(version.note, width, "hint", ("✎ ", "hint"))
    out.append(BLANK)
    if version.idea:
        out += [*prose(version.idea, width, "strong"), BLANK]
    if version.plan:
        out += _kept_plan(version.plan, width)
    if version.summary and version.summary.strip() != version.plan.strip():
        out += [BLANK, *prose(version.summary, width)]
    gate = version.gate
    if gate.reason:
        out.append(BLANK)
        lead = (f"gate {gate.gate}  ", "dim")
        out += prose(formats.minus(gate.reason), width, "", lead)
    if gate.basis:
        out += prose(gate.basis, width, "dim")
    for audit in version.audits[-3:]:
        lead = (f"audit {audit.at:%d %b %H:%M}  ", "dim")
        out += prose(audit.line, width, "bad" if audit.outcome == "fails" else "", lead)
    for again in version.remeasurements[-6:]:
        out.append(
            line(
                ("measured again  ", "dim"),
                formats.ratio(again.score.aggregate),
                (f"  ±{again.score.noise * 100:.1f}%  {again.at:%d %b %H:%M}", "dim"),
            )
        )
    if version.built_on:
        out += [BLANK, line(("built on notes of the memory, as they read then", "dim"))]
        for note in version.built_on:
            out += prose(note.text, width, "", NOTES[note.category])
    return out


def _kept_plan(plan: str, width: int) -> list[Line]:
    """A plan as it was committed: its title, then its items with their marks."""
    title, *rest = plan.split("\n")
    out = prose(title, width, "strong")
    for row in rest:
        status = _KEPT.get(row[:6])
        if status is None:
            out += prose(row, width)
        else:
            glyph, role = ITEM[status]
            out += prose(row[6:], width, "", (f"{glyph} ", role))
    return out


def attempt_story(attempt: Attempt, step: int | None, width: int) -> list[Line]:
    """An attempt that is no version in words; `step` is the open step."""
    out = [
        line(
            (
                f"attempt {attempt.number} of step {attempt.step}, from v{attempt.parent}"
                f" · {attempt.at:%d %b %H:%M}",
                "dim",
            )
        ),
    ]
    if attempt.version is None:  # first: of a narrow pane the rest may be out of sight
        lead = ("✕ ", "bad") if was_rejected(attempt) else ("· ", "dim")
        out += [*prose(formats.minus(attempt_reason(attempt, step)), width, "", lead), BLANK]
    out += prose(attempt.title or "no title was given", width, "strong")
    if attempt.aggregate > 0:
        out.append(line(("aggregate  ", "dim"), formats.ratio(attempt.aggregate)))
        if attempt.version is None:
            out += prose(NOT_THE_GATE, width, "faint")
    return out


Build = Callable[[int], Sequence[Line]]


class PlanPainter(PanePainter):
    """A head with the plan, and the stream of the step below it."""

    NAME = "plan"

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        super().__init__(screen, loader)
        self.head = screen.query_one("#plan-head", LinesView)
        self.body = screen.query_one("#plan-view", LinesView)
        self._streamed = ""
        """Whose stream is shown."""
        self._hidden = 0
        """Rows of the head that are out of sight."""

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        """The plan and the stream of the live step, or of the one that made the subject."""
        if subject.live:
            step: StepView | Failed | None = snapshot.live
            build = self._live_head(snapshot.live)
        else:
            step = self._past_step(snapshot, subject.step or 0)
            build = self._past_head(subject, snapshot.open_step)
        self._paint_head(snapshot, subject, build, changed)
        self._paint_stream(snapshot, subject, step)

    def _live_head(self, view: StepView) -> Build:
        info: list[Span] = [(f"step {view.number}", "dim")]
        if self.body.unseen:
            info = [(f"↓ {self.body.unseen} new ", "warn"), ("end ", "key"), *info]
        self.pane.set_info(info)
        return lambda width: plan_lines(
            view.title, view.items, width, max(3, self.pane.size.height // 2)
        )

    def _past_head(self, subject: Selection, step: int | None) -> Build:
        version, attempt = subject.version, subject.attempt
        self.pane.set_info([(subject.name, "accent"), (f" · step {subject.step}", "dim")])
        if version is not None:
            return lambda width: version_story(version, width)
        assert attempt is not None
        return lambda width: attempt_story(attempt, step, width)

    def _paint_head(
        self, snapshot: Snapshot, subject: Selection, build: Build, changed: bool
    ) -> None:
        head, size, live = self.head, self.pane.size, snapshot.live
        width = head.room if head.room > 0 else max(10, size.width - 3)
        if self.differs((subject, live.title, live.items, size, width), "head"):
            rows = list(build(width))
            head.display = bool(rows)
            share = 1 / 2 if subject.live else 3 / 4
            room = max(2, int((size.height - 2) * share))
            height = min(len(rows), room) if subject.live else whole_paragraphs(rows, room)
            head.styles.height = height
            head.show(build, reset=changed)
            self._hidden = len(rows) - height
        if self._hidden > 0 and not subject.live:
            more = formats.many(self._hidden, "more row")
            self.pane.set_info([(f"↓ {more} · z zooms · ", "faint"), (subject.name, "accent")])

    def _paint_stream(
        self, snapshot: Snapshot, subject: Selection, step: StepView | Failed | None
    ) -> None:
        if not isinstance(step, StepView):
            reason = step.reason if isinstance(step, Failed) else "reading the step …"
            if self.differs((reason, subject.name), "stream"):
                self.body.show(lambda width: [line((reason, "faint"))], reset=True, end=False)
                self._streamed = ""
            return
        if not self.differs((step, subject.name), "stream"):
            return
        begun = bool(snapshot.versions)
        self.body.show(
            lambda width: stream_rows(step, width, live=subject.live, begun=begun),
            reset=self._streamed != subject.name,
            end=subject.live,
        )
        self._streamed = subject.name

    def _past_step(self, snapshot: Snapshot, number: int) -> StepView | Failed | None:
        if number == snapshot.live.number:
            return snapshot.live
        source = self.host.session.source
        if source is None:
            return None
        return self.loader.get(("step", number), lambda: fold(source.events(step=number)))


SPARE = 2
"""Rows that a story may take beyond its share of the pane, to end with a paragraph."""


def whole_paragraphs(rows: Sequence[Line], room: int) -> int:
    """How many of the rows to show where `room` of them fit, and `SPARE` more at need.

    No paragraph is shown in part, unless most of the room would then be empty. A blank row ends a
    paragraph.
    """
    most = room + SPARE
    if len(rows) <= most:
        return len(rows)
    blank = [not row.plain.strip() for row in rows[: most + 1]]
    ends = [n for n in range(2, most + 1) if blank[n] and not blank[n - 1]]
    return ends[-1] if ends and 3 * ends[-1] >= 2 * room else room


def stream_rows(view: StepView, width: int, *, live: bool, begun: bool) -> Sequence[Line]:
    """What was said in a step, or what will be; `begun` where there is a version."""
    rows = stream_lines(view, width)
    if not live:
        return [line((f"how step {view.number} went", "faint")), BLANK, *rows] if rows else []
    if rows:
        return rows
    if view.number == 0 and not begun:
        return teach(
            "The seed is compiled, checked and measured first.",
            "Then the operator makes its first plan, and it is shown here.",
        )
    return teach(
        "Nothing was said in this step yet.",
        "Prose, tools, hints and attempts appear here as they come.",
        "h sends the operator a hint.",
    )
