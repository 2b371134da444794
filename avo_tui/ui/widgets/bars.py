"""The rows at the edges of a screen: status, tabs, actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.message import Message

from avo_tui.ui.text import Span, line, width_of
from avo_tui.ui.widgets.paint import Bar


class StatusLine(Bar):
    """The first row of a screen."""


class DeviceLine(Bar):
    """Shows the state of the device that kernels run on; hidden without samples."""


class ActionBar(Bar):
    """The last row: the keys that currently have an effect. Each can be clicked."""

    @dataclass
    class Pressed(Message):
        action: str

    _spots: Sequence[tuple[int, int, str]] = ()

    def show_actions(self, actions: Sequence[tuple[str, str, str]]) -> None:
        """Show as many actions (id, key, label) as fit, by rank; help and palette at the right, and
        in a browser the way back: a phone has no escape key."""
        width = self.size.width
        if width <= 0:
            return
        at_right = {"help", "palette", *(["close"] if self.app.is_web else [])}
        right = [action for action in actions if action[0] in at_right]
        tail, spots = self._items(right, 0, width)
        start = width - width_of(tail) - 1
        self._spots = [(start + first, start + end, name) for first, end, name in spots]
        left = [action for action in actions if action not in right]
        spans, spots = self._items(left, 1, width - width_of(tail) - 3)
        self._spots += spots
        gap = width - 1 - width_of(spans) - width_of(tail) - 1
        self.set_row(line(" ", *spans, (" " * max(gap, 0), ""), *tail))

    @staticmethod
    def _items(
        actions: Sequence[tuple[str, str, str]], start: int, room: int
    ) -> tuple[list[Span], list[tuple[int, int, str]]]:
        """The first actions that end before `room`, and where each is, from `start` on."""
        spans: list[Span] = []
        spots: list[tuple[int, int, str]] = []
        for name, key, label in actions:
            item = [("  ", "")] * bool(spans) + [(key, "key"), (f" {label}", "dim")]
            if start + width_of([*spans, *item]) > room:
                break
            first = start + width_of(spans)
            spans += item
            spots.append((first, start + width_of(spans), name))
        return spans, spots

    def on_click(self, event: events.Click) -> None:
        for start, end, action in self._spots:
            if start <= event.x < end:
                self.post_message(self.Pressed(action))
                return


class TabBar(Bar):
    """Names of panes where only one is shown; click or number picks one."""

    @dataclass
    class Picked(Message):
        index: int

    _spots: Sequence[tuple[int, int, int]] = ()

    def show_tabs(self, names: Sequence[tuple[int, str]], active: int) -> None:
        wide = sum(len(name) + 5 for _, name in names) < self.app.size.width
        gap = [(" ", "")] if wide else []
        spans: list[Span] = [*gap]
        spots: list[tuple[int, int, int]] = []
        for number, name in names:
            start = width_of(spans)
            on = number == active
            spans += [
                (f" {number} " if wide else f"{number} ", "on-bar key" if on else "key"),
                (f"{name} ", "on-bar title" if on else "dim"),
            ]
            spots.append((start, width_of(spans), number))
            spans += gap
        self._spots = spots
        self.set_row(line(*spans))

    def on_click(self, event: events.Click) -> None:
        for start, end, number in self._spots:
            if start <= event.x < end:
                self.post_message(self.Picked(number))
                return
