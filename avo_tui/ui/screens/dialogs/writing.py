"""A dialog for a piece of text."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, TextArea

from avo_tui.ui.screens.dialogs.base import Dialog, note, problem


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
            yield Input(self._text, id="text", max_length=60)
        else:
            yield TextArea(self._text, id="text", show_line_numbers=False, tab_behavior="focus")
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
        text = (
            box.value if isinstance(box, Input) else box.text if isinstance(box, TextArea) else ""
        )
        if not self._empty and not text.strip():
            self.problem("write something first")
            return
        self.dismiss(text.strip())
