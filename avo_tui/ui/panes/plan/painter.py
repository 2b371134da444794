"""The plan pane: the operator's plan, or a version's story, above what was said in the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from avo_tui.ui import formats
from avo_tui.ui.loader import Failed, Loader
from avo_tui.ui.panes.painter import PanePainter
from avo_tui.ui.panes.plan.lines import attempt_story, plan_lines, stream_lines, version_story
from avo_tui.ui.panes.selection import Selection, teach
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.session.step_view import StepView, fold
from avo_tui.ui.text import BLANK, Line, Span, line
from avo_tui.ui.widgets.lines import LinesView

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
