"""A screen with one scrolled text or two panes: what the further screens have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult

from avo_tui.ui import show
from avo_tui.ui.actions import Action
from avo_tui.ui.feed import Snapshot
from avo_tui.ui.loader import Loader
from avo_tui.ui.screens.base import COMMON, AvoScreen
from avo_tui.ui.views.status import status_line
from avo_tui.ui.widgets.bars import ActionBar, StatusLine
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.lines import LinesView

DETAIL = (
    Action("filter", "slash", "find", "Find text.", "look", 40),
    Action("next_hit", "n", "next hit", "The next row that was found.", "look"),
    Action("copy", "y", "copy", "Copy the text, without gutters.", "look", 41),
    Action("close", "q,escape", "back", "Back to the run.", "general", 80),
    *COMMON,
)


class DetailScreen(AvoScreen):
    """A screen above the run screen. `MAIN` is the view that is searched and copied."""

    ACTIONS: ClassVar[tuple[Action, ...]] = DETAIL
    BINDINGS: ClassVar[list[Any]] = []
    MAIN: ClassVar[str] = "#main"

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: Snapshot | None = None
        self.loader: Loader | None = None
        self._found = False

    def compose(self) -> ComposeResult:
        """Status, body, actions."""
        yield StatusLine(id="status")
        yield from self.body()
        yield FindBar()
        yield ActionBar(id="actions")

    def body(self) -> ComposeResult:
        """What is between status and actions."""
        yield from ()

    def on_mount(self) -> None:
        """First picture."""
        self.loader = Loader(self.app, self._again)
        self.snapshot = self.avo.latest
        self.query_one(self.MAIN).focus()
        self.call_after_refresh(self._again)

    def _again(self) -> None:
        if self.snapshot is not None and self.ready:
            self.repaint()

    def repaint(self) -> None:
        """Show what is known now."""

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """A newer snapshot."""
        self.snapshot = snapshot
        self.show_second()
        self._again()

    def show_second(self) -> None:
        """The status line."""
        if self.snapshot is not None and self.ready:
            can_start = self.avo.services.start_engine is not None
            self.query_one("#status", StatusLine).set_row(
                status_line(
                    self.snapshot,
                    self.size.width,
                    self.avo.clock(),
                    self.avo.status_keys(),
                    can_start,
                )
            )

    def on_resize(self) -> None:
        """Paint for the new width."""
        self.call_after_refresh(self.show_second)
        self.call_after_refresh(self._again)

    @property
    def main(self) -> LinesView:
        """The view that is searched and copied."""
        return self.query_one(self.MAIN, LinesView)

    def do_filter(self) -> None:
        """Find text."""
        self.query_one(FindBar).open("/ find")

    @on(FindBar.Changed)
    def find_changed(self, event: FindBar.Changed) -> None:
        """Search as it is typed."""
        count = self.main.search(event.text)
        self._found = bool(event.text)
        self.query_one(FindBar).set_count(
            f"{show.many(count, 'hit')} · n next" if event.text else ""
        )
        if event.done:
            self.main.focus()

    @on(FindBar.Closed)
    def find_closed(self) -> None:
        """Forget the search."""
        self.main.search("")
        self._found = False
        self.main.focus()

    def do_next_hit(self) -> None:
        """The next row that was found."""
        at, count = self.main.next_hit(1)
        self.app.notify(
            f"{at} of {count}" if count else "nothing to go to: / finds text", timeout=2
        )

    def do_copy(self) -> None:
        """Copy the main view."""
        rows = self.main.plain_rows()
        self.app.copy_to_clipboard("\n".join(rows))
        self.app.notify(f"copied {show.many(len(rows), 'line')}", timeout=2)

    def do_close(self) -> None:
        """One layer back."""
        if self._found:
            self.find_closed()
        else:
            self.app.pop_screen()
