"""A dialog that shows lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal

from avo_tui.ui.dialogs.frame import Dialog, note
from avo_tui.ui.text import Line
from avo_tui.ui.widgets.form import Pill
from avo_tui.ui.widgets.lines import LinesView

ROOM = 68
"""Cells of a row of choices."""


MOST_ROWS = 18
"""Largest number of lines shown at once."""
AROUND = 7
"""Rows of the dialog beside its lines and the spans: frame, gaps and button."""


class TextViewer(Dialog[str]):
    """Shows lines of text. Its result is the key of another time span to show, or None."""

    BINDINGS = [Binding("q", "cancel", show=False)]  # noqa: RUF012

    def __init__(
        self,
        heading: str,
        rows: Callable[[int], Sequence[Line]],
        spans: Sequence[tuple[str, str]],
        current: str,
    ) -> None:
        """`rows` gives the lines for a width in cells; `current` is the key of the span shown."""
        super().__init__()
        self._heading, self._rows = heading, rows
        self._spans, self._current = dict(spans), current

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return self._heading

    def content(self) -> ComposeResult:
        """The lines, the other spans, a button."""
        yield LinesView(id="rows")
        yield note("\n".join(choices(self._spans, self._current)))
        yield Horizontal(Pill("esc  close", id="accept"), id="buttons")

    def on_mount(self) -> None:
        """Show them."""
        self._fit()
        self.query_one("#rows", LinesView).show(lambda width: list(self._rows(width)))
        self.query_one("#accept").focus()

    def on_resize(self) -> None:
        """Leave room for the spans and the button, whatever the height."""
        super().on_resize()
        self._fit()

    def _fit(self) -> None:
        below = len(choices(self._spans, self._current))
        room = min(MOST_ROWS, max(1, self.size.height - AROUND - below))
        self.query_one("#rows", LinesView).styles.height = min(len(self._rows(ROOM)), room)

    def on_key(self, event: events.Key) -> None:
        """Close the dialog with the key of another time span."""
        if event.key in self._spans:
            event.stop()
            self.dismiss(event.key)

    def action_accept(self) -> None:
        """Close."""
        self.dismiss(None)


def choices(spans: Mapping[str, str], current: str) -> list[str]:
    """Keys with the spans they ask for, in rows; none is cut at the end of a row. `▸` marks the
    span that is shown."""
    rows = [""]
    for key, name in spans.items():
        item = f"{'▸' if key == current else ''}{key} {name}"
        joined = f"{rows[-1]}   {item}" if rows[-1] else item
        if cell_len(joined) <= ROOM:
            rows[-1] = joined
        else:
            rows.append(item)
    return rows
