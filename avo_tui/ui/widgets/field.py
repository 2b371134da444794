"""A field of one row. Its cursor does not blink, so that an idle screen does not change."""

from __future__ import annotations

from typing import Any

from textual.widgets import Input


class Field(Input):
    """One row."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.set_reactive(Input.cursor_blink, False)
