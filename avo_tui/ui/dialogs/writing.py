"""A dialog for a piece of text."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from avo_tui.domain.commands import MAX_TEXT
from avo_tui.ui.dialogs.frame import Dialog, note, problem
from avo_tui.ui.widgets.field import Field
from avo_tui.ui.widgets.prose import Writing

MOST_OF_A_ROW = 60
"""Largest number of characters of a text of one row, such as a bookmark."""


class TextDialog(Dialog[str]):
    """A piece of text: a note, a reason, a bookmark."""

    def __init__(
        self,
        heading: str,
        said: str,
        accept: str,
        *,
        text: str = "",
        single: bool = False,
        empty: bool = True,
    ) -> None:
        super().__init__()
        self._most = MOST_OF_A_ROW if single else MAX_TEXT
        self._heading, self._said, self._accept = heading, said, accept
        self._text, self._single, self._empty = text, single, empty

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return self._heading

    def content(self) -> ComposeResult:
        """Explanation and field."""
        yield note(self._said)
        if self._single:
            yield Field(self._text, id="text")
        else:
            yield Writing(self._text, id="text")
        yield problem()
        yield self.buttons(f"{'enter' if self._single else '^s'}  {self._accept}")

    def on_mount(self) -> None:
        """Ready to write."""
        self.query_one("#text").focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Return the text."""
        box = self.query_one("#text")
        text = box.value if isinstance(box, Field) else box.text if isinstance(box, Writing) else ""
        if not self._empty and not text.strip():
            self.problem("write something first")
            return
        text = text.strip()
        if not self.too_long(text, self._most):
            self.dismiss(text)
