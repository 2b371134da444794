"""The rows at the edges of a screen: status, tabs, actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import events
from textual.message import Message

from avo_tui.ui.actions import BoundAction, shown_key
from avo_tui.ui.text import Span, line, width_of
from avo_tui.ui.widgets.paint import Bar


class StatusLine(Bar):
    """The first row of a screen."""


class DeviceLine(Bar):
    """Shows the state of the device that kernels run on; hidden without samples."""


class ActionBar(Bar):
    """The last row: the keys that currently have an effect. Each can be clicked."""

    class Pressed(Message):
        """An action was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._spots: list[tuple[int, int, str]] = []

    def show_actions(self, actions: Sequence[BoundAction], keymap: Mapping[str, str]) -> None:
        """Show as many actions as fit, by rank; the last two are at the right."""
        width = self.size.width
        if width <= 0:
            return
        right = [a for a in actions if a.id in {"help", "palette"}]
        left = [a for a in actions if a not in right]
        tail: list[Span] = []
        spots: list[tuple[int, int, str]] = []
        for action in right:
            tail += self._item(action, keymap, bool(tail))
        column = width - width_of(tail) - 1
        for i, action in enumerate(right):
            item = width_of(self._item(action, keymap, i > 0))
            spots.append((column, column + item, action.id))
            column += item
        spans: list[Span] = [(" ", "")]
        room = width - width_of(tail) - 3
        for action in left:
            item_spans = self._item(action, keymap, len(spans) > 1)
            if width_of(spans) + width_of(item_spans) > room:
                break
            start = width_of(spans)
            spans += item_spans
            spots.append((start, width_of(spans), action.id))
        gap = width - width_of(spans) - width_of(tail) - 1
        self._spots = spots
        self.set_row(line(*spans, (" " * max(gap, 0), ""), *tail))

    @staticmethod
    def _item(action: BoundAction, keymap: Mapping[str, str], gap: bool) -> list[Span]:
        lead: list[Span] = [("  ", "")] if gap else []
        return [*lead, (shown_key(action, keymap), "key"), (f" {action.label_now()}", "dim")]

    def on_click(self, event: events.Click) -> None:
        for start, end, action in self._spots:
            if start <= event.x < end:
                self.post_message(self.Pressed(action))
                return


class TabBar(Bar):
    """Names of panes where only one is shown; click or number picks one."""

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._spots: list[tuple[int, int, int]] = []

    def show_tabs(self, names: Sequence[tuple[int, str]], active: int) -> None:
        spans: list[Span] = [(" ", "")]
        self._spots = []
        for number, name in names:
            start = width_of(spans)
            on = number == active
            spans += [
                (f" {number} ", "on-bar key" if on else "key"),
                (f"{name} ", "on-bar title" if on else "dim"),
            ]
            self._spots.append((start, width_of(spans), number))
            spans.append((" ", ""))
        self.set_row(line(*spans))

    def on_click(self, event: events.Click) -> None:
        for start, end, number in self._spots:
            if start <= event.x < end:
                self.post_message(self.Picked(number))
                return
