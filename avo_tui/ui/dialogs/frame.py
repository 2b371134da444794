"""The frame of all dialogs, and the widgets commonly used in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from avo_tui.ui.host import Host
from avo_tui.ui.screen import fit_below
from avo_tui.ui.text import Line, one_line
from avo_tui.ui.textual_internals import may_close
from avo_tui.ui.widgets.form import Pill
from avo_tui.ui.widgets.lines import LinesView

T = TypeVar("T")
LINES = 68
"""Cells of a row of a dialog."""
LOW = 30
"""Height in rows below which a dialog leaves out blank rows."""
LOWEST = 20
"""Height in rows below which a dialog also leaves out what is not needed for input."""


class Dialog(ModalScreen[T | None], Generic[T]):
    """A framed box in the middle; escape leaves it without doing anything."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "cancel", show=False),
        Binding("ctrl+s", "accept", show=False),
    ]

    def __init__(self, heading: str) -> None:
        super().__init__()
        self.heading = heading
        """The title of the frame."""

    @property
    def host(self) -> Host:
        return cast(Host, self.app)

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(self.heading)
            yield from self.content()

    def content(self) -> ComposeResult:
        yield from ()

    def buttons(self, accept: str, cancel: str = "esc  cancel") -> Horizontal:
        return Horizontal(Pill(cancel, id="cancel"), Pill(accept, id="accept"), id="buttons")

    def on_resize(self) -> None:
        """Adapt to the height: blank rows are left out first. Also fits the screens behind."""
        self.set_class(self.size.height < LOW, "-low")
        self.set_class(self.size.height < LOWEST, "-lowest")
        self.call_later(fit_below, self.app)

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        return super().dismiss(result) if may_close(self) else AwaitComplete()

    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_accept(self) -> None:
        """Do it."""

    @on(Pill.Pressed, "#cancel")
    def _cancelled(self) -> None:
        self.action_cancel()

    @on(Input.Submitted)
    @on(Pill.Pressed, "#accept")
    def _accepted(self) -> None:
        self.action_accept()

    def problem(self, text: str) -> None:
        """Show why the input cannot be accepted. What a person has pasted may be quoted in it."""
        self.query_one("#problem", Static).update(Content(one_line(text)))

    def too_long(self, text: str, most: int) -> bool:
        """Whether a text has more than `most` characters; then that is shown as the problem."""
        if len(text) <= most:
            return False
        self.problem(f"at most {most:,} characters, not {len(text):,}")
        return True


_AMOUNT = re.compile(r"\$?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


def amount(text: str, *, whole: bool = False) -> float | None:
    """A number from 0 on that a person typed into a field; None for an empty field.

    Raises ValueError, with a sentence that follows the field's name. A comma is refused: it
    separates thousands for one person and the fraction for another.
    """
    text = text.strip()
    if not text:
        return None
    if "," in text:
        raise ValueError(f"{one_line(text, 40)!r}: write it without a comma, as in 1500 or 1.5")
    match = _AMOUNT.fullmatch(text)
    value = float(match[1]) if match else -1.0
    if value < 0 or value >= 1e12 or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise ValueError(f"{one_line(text, 40)!r} is not a {kind} from 0 on")
    return value


def shown(rows: Callable[[int], Sequence[Line]], most: int, id: str) -> LinesView:
    """Lines in a dialog, which do not take the focus; `most` of them are seen at once."""
    view = LinesView(id=id)
    view.can_focus = False
    view.styles.height = min(len(rows(LINES)), most)
    view.show(rows)
    return view


def note(text: str) -> Static:
    return Static(Content(text), classes="note")


def label(text: str) -> Label:
    return Label(Content(text), classes="label")


def space() -> Static:
    return Static("")


def problem() -> Static:
    """The row in which a dialog shows an error."""
    return Static("", id="problem", classes="problem")
