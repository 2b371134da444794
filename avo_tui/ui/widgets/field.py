"""Input fields. Their cursor does not blink, so that an idle screen does not change."""

from __future__ import annotations

from typing import Any

from textual.widgets import Input, TextArea


class Field(Input):
    """One row."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.set_reactive(Input.cursor_blink, False)


class Writing(TextArea):
    """Several rows of prose; tab goes on to the next field."""

    def __init__(self, text: str = "", *, id: str) -> None:
        super().__init__(text, id=id, show_line_numbers=False, tab_behavior="focus")
        self.set_reactive(TextArea.cursor_blink, False)
