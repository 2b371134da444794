"""Fields of one row: for a value, and the filter row that `/` opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class Field(Input):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.set_reactive(Input.cursor_blink, False)


class FindBar(Horizontal):
    """One row with an input. The screen decides what is filtered."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "close", show=False, priority=True),
    ]

    @dataclass
    class Changed(Message):
        """Other text; `done` when enter was pressed."""

        text: str
        done: bool

    class Closed(Message):
        """Escape: the filter is taken away."""

    def compose(self) -> ComposeResult:
        yield Label("/", id="find-label", markup=False)
        yield Field(id="find-input", compact=True, select_on_focus=False)
        yield Label("", id="find-count", markup=False)

    def open(self, label: str) -> None:
        self.query_one("#find-label", Label).update(label)
        self.query_one("#find-count", Label).update("")
        self.add_class("-open")
        box = self.query_one(Field)
        box.value = ""
        box.focus()

    def set_count(self, text: str) -> None:
        self.query_one("#find-count", Label).update(text)

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.is_open:
            self.post_message(self.Changed(event.value, False))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.remove_class("-open")
        self.post_message(self.Changed(event.value, True))

    def action_close(self) -> None:
        self.remove_class("-open")
        self.post_message(self.Closed())
