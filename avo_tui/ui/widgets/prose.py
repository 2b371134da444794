"""A field of several rows, for prose. Like that of `Field`, its cursor does not blink.

In a module of its own because the first picture of the app has a field of one row and none of
several; importing Textual's text area takes 2% of a start.
"""

from __future__ import annotations

from textual.widgets import TextArea


class Writing(TextArea):
    """Several rows of prose; tab goes on to the next field."""

    def __init__(self, text: str = "", *, id: str) -> None:
        super().__init__(text, id=id, show_line_numbers=False, tab_behavior="focus")
        self.set_reactive(TextArea.cursor_blink, False)

    def on_mount(self) -> None:
        """What is there already is gone on with."""
        self.move_cursor(self.document.end)
