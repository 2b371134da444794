"""A dialog that shows lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from avo_tui.ui.dialogs.frame import Dialog, note
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.text import Line
from avo_tui.ui.widgets.lists import PickList

_OWN_KEYS = {"escape", "enter", "space", "q"}
ROOM = 68
"""Cells of a row of choices."""


MOST_ROWS = 18
"""Largest number of lines shown at once."""
AROUND = 7
"""Rows of the dialog beside its lines and the spans: frame, gaps and button."""


class TextViewer(Dialog[None]):
    """Shows lines of text about one of several time spans.

    It stays open while the lines of another span are read, so that no key goes to the screen below.
    """

    BINDINGS = [  # noqa: RUF012
        Binding("q", "cancel", show=False),
        Binding("enter,space", "accept", show=False),
    ]

    def __init__(
        self,
        heading: str,
        rows: Callable[[int], Sequence[Line]],
        spans: Sequence[tuple[str, str]],
        current: str,
        read: Callable[[str], None] = lambda key: None,
        *,
        unasked: bool = False,
        opened: Callable[[object], object] = lambda place: None,
    ) -> None:
        """`rows` gives the lines for a width in cells; `current` is the key of the span shown.

        `read` is called with the key of another span; what it reads is given to `show`. One that
        opened `unasked` gives way to the keys of the screen below, until a span is asked for. Rows
        with a `meta` can be picked: `opened` gets its first value.
        """
        super().__init__(heading)
        self._read, self._gives_way, self._opened = read, unasked, opened
        self._rows = rows
        self._spans, self._current = dict(spans), current

    def content(self) -> ComposeResult:
        yield PickList(id="rows")
        yield note("\n".join(choices(self._spans, self._current)))
        yield self.buttons("enter  open", "esc  close")

    def on_mount(self) -> None:
        self._paint()
        self.query_one("#rows").focus()

    def show(self, heading: str, rows: Callable[[int], Sequence[Line]], current: str) -> None:
        """Show the lines of the span `current`, unless yet another one was asked for meanwhile."""
        if current != self._current or not self.query("#box"):  # asked for before it was closed
            return
        self.heading, self._rows = heading, rows
        self.query_one("#box").border_title = Content(heading)
        self._paint()

    def _paint(self) -> None:
        self._fit()
        self.query_one(PickList).show(lambda width: list(self._rows(width)))

    def on_resize(self) -> None:
        """Leave room for the spans and the button, whatever the height."""
        super().on_resize()
        self._fit()

    def _fit(self) -> None:
        below = len(choices(self._spans, self._current))
        room = min(MOST_ROWS, max(1, self.size.height - AROUND - below))
        self.query_one(PickList).styles.height = min(len(self._rows(ROOM)), room)

    def on_key(self, event: events.Key) -> None:
        if event.key not in self._spans:
            self._hand_on(event)
            return
        event.stop()
        self._gives_way = False
        if event.key != self._current:
            self._current = event.key
            self.query_one(".note", Static).update(
                Content("\n".join(choices(self._spans, self._current)))
            )
            self._read(event.key)

    def _hand_on(self, event: events.Key) -> None:
        """Close, and run the action that the key has on the screen below, if it has one: it was
        pressed for that screen, and may answer what is waited for."""
        below = self.app.screen_stack[-2]
        if not self._gives_way or event.key in _OWN_KEYS or not isinstance(below, AvoScreen):
            return
        action = below.action_of(event.key)
        if action is None:
            return
        event.stop()
        self.dismiss(None)
        self.app.call_later(below.action_act, action.id)

    @on(PickList.Opened)
    def action_accept(self) -> None:
        """Close; with the cursor on a row that leads somewhere, go there."""
        picked = self.query_one(PickList).key
        self.dismiss(None)
        if isinstance(picked, tuple):
            self.app.call_later(self._opened, picked[0])


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
