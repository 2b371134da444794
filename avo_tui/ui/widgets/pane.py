"""A framed pane: number and title at the left of its top line, information at the right.

The bottom line may say what the columns are.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.containers import Vertical
from textual.content import Content
from textual.content import Span as ContentSpan
from textual.style import Style

from avo_tui.ui.text import Span, crop, width_of
from avo_tui.ui.widgets.paint import Painter


class Pane(Vertical, Painter):
    """A frame around the widgets of one pane; its border takes the accent with the focus."""

    def __init__(self, *, key: str, title: str, id: str) -> None:
        super().__init__(id=id)
        self.key, self.heading = key, title
        self._info: tuple[Span, ...] = ()
        self._columns: tuple[str, ...] = ()

    def set_info(self, spans: Sequence[Span]) -> None:
        """What stands at the right of the top line."""
        if tuple(spans) != self._info:
            self._info = tuple(spans)
            self.draw_title()

    def set_heading(self, title: str) -> None:
        if title != self.heading:
            self.heading = title
            self.draw_title()

    def set_columns(self, names: Sequence[str]) -> None:
        """What the columns are, in the bottom line; as many of them as fit."""
        if tuple(names) != self._columns:
            self._columns = tuple(names)
            self.draw_title()

    @property
    def info(self) -> tuple[Span, ...]:
        return self._info

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self.draw_title())

    def on_resize(self, event: events.Resize) -> None:
        self.draw_title()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.draw_title()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self.call_after_refresh(self.draw_title)

    def draw_title(self) -> None:
        """Compose top and bottom line for the present width, focus and theme."""
        room = self.outer_size.width - 6
        if room < 6:
            return
        focused = self.has_focus_within
        rule = "accent" if focused else "axis"
        left: list[Span] = [(self.heading, "title" if focused else "strong")]
        if self.key:
            left.insert(0, (f"{self.key} ", "key" if focused else "dim"))
        info = list(crop(self._info, max(0, room - width_of(left) - 4))) if self._info else []
        spans: list[Span] = list(left)
        if info and width_of(left) + width_of(info) + 4 <= room:
            gap = room - width_of(left) - width_of(info) - 2
            spans += [(" " + "─" * max(1, gap) + " ", rule), *info]
        self.border_title = self._content(spans)
        names = list(self._columns)
        while names and cell_len(" · ".join(names)) > room:
            names.pop()
        self.border_subtitle = self._content([(" · ".join(names), "faint")] if names else [])

    def _content(self, spans: Sequence[Span]) -> Content:
        text, marks = "", []
        for piece, role in spans:
            style = Style.from_rich_style(self.role_style(role))
            marks.append(ContentSpan(len(text), len(text) + len(piece), style))
            text += piece
        return Content(text, marks)
