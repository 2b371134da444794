"""Small parts of dialogs: a button of one row, a choice of one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from avo_tui.ui.text import Span, line, width_of
from avo_tui.ui.widgets.paint import Painter


class Pill(Painter, can_focus=True):
    """A button of one row."""

    BINDINGS = [Binding("enter,space", "press", show=False)]  # noqa: RUF012

    @dataclass
    class Pressed(Message):
        pill: Pill

        @property
        def control(self) -> Pill:
            return self.pill

    def __init__(self, label: str, id: str) -> None:
        super().__init__(id=id)
        self.label = label

    def get_content_width(self, container: object, viewport: object) -> int:
        return len(self.label)

    def render_line(self, y: int) -> Strip:
        return Strip([Segment(self.label, self.rich_style)]).adjust_cell_length(
            self.size.width, self.rich_style
        )

    def action_press(self) -> None:
        self.post_message(self.Pressed(self))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.action_press()


class Choice(Painter, can_focus=True):
    """One of a few, in a row: left and right, or a click."""

    BINDINGS = [  # noqa: RUF012
        Binding("left", "move(-1)", show=False),
        Binding("right,space", "move(1)", show=False),
    ]

    @dataclass
    class Changed(Message):
        choice: Choice

    def __init__(
        self, options: Sequence[tuple[str, str]], id: str, value: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.options = list(options)
        self.value = value if value is not None else (self.options[0][0] if self.options else "")
        self._spots: list[tuple[int, int, str]] = []

    def render_line(self, y: int) -> Strip:
        if y:
            return Strip.blank(self.size.width, self.rich_style)
        spans: list[Span] = []
        self._spots, scrolled = [], 0
        for name, label in self.options:
            on = name == self.value
            start = width_of(spans)
            spans.append((f"{'●' if on else '○'} ", "accent" if on else "faint"))
            spans.append((label, "strong" if on else "dim"))
            self._spots.append((start, width_of(spans), name))
            if on:  # in sight, however narrow the row is
                scrolled = min(start, max(0, width_of(spans) - self.size.width))
            spans.append(("   ", ""))
        self._spots = [(start - scrolled, end - scrolled, name) for start, end, name in self._spots]
        return self.paint(line(*spans), self.size.width, scroll_x=scrolled)

    def action_move(self, by: int) -> None:
        names = [name for name, _ in self.options]
        if names:
            self.choose(names[(names.index(self.value) + by) % len(names)])

    def choose(self, value: str) -> None:
        if value != self.value:
            self.value = value
            self.refresh()
            self.post_message(self.Changed(self))

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._spots:
            if start <= event.x < end:
                self.choose(name)
