"""A dialog with lines to read."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding

from avo_tui.ui.dialogs.frame import Dialog
from avo_tui.ui.text import Line
from avo_tui.ui.widgets.lines import LinesView


class Digest(Dialog[bool]):
    """Lines to read: what happened while the person was away."""

    def __init__(self, heading: str, rows: Sequence[Line]) -> None:
        super().__init__()
        self._heading, self._rows = heading, list(rows)

    BINDINGS = [Binding("enter,q", "cancel", show=False)]  # noqa: RUF012

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return self._heading

    def content(self) -> ComposeResult:
        """The lines and a button."""
        yield LinesView(id="rows")
        yield self.buttons("enter  look", "esc  close")

    def on_mount(self) -> None:
        """Show them."""
        view = self.query_one("#rows", LinesView)
        view.styles.height = min(len(self._rows), 18)
        view.styles.max_height = 18
        view.show(lambda width: self._rows)
        self.query_one("#accept").focus()

    def action_accept(self) -> None:
        """Close."""
        self.dismiss(True)
