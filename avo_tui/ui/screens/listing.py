"""The base of the screens that list what is on this machine and read it again and again."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on

from avo_tui.ui.loader import in_thread
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.widgets.lists import CursorList


class ListScreen(AvoScreen):
    """A table with a cursor, and a row below it about what is under the cursor."""

    SECONDS: ClassVar[float] = 1.0
    """From one look to the next."""
    _reading = False

    def read(self) -> Any:
        """What there is, in a thread."""

    def take(self, value: Any, error: str = "") -> None:
        """Keep what was read."""

    def show_list(self) -> None:
        """Show what is known now."""

    def tell_about(self) -> None:
        """Show, below the table, the details for which the selected row has no room."""

    @property
    def table(self) -> CursorList:
        return self.query_one(CursorList)

    def on_mount(self) -> None:
        self.table.focus()
        self._look()
        self.set_interval(self.SECONDS, self._look)
        self.show_list()

    def on_screen_resume(self) -> None:
        self._look()

    def _look(self) -> None:
        """Read while this screen is on top; one look at a time, as many entries take longer than
        the interval."""
        if self.app.screen is self and not self._reading:
            self._reading = True
            in_thread(
                self, self.read, self._taken, lambda why: self._taken(None, why), group="list"
            )

    def _taken(self, value: Any, error: str = "") -> None:
        self._reading = False
        if self.ready:
            self.take(value, error)
            self.show_list()
            self.refresh_footer()

    @on(CursorList.Moved)
    def _moved(self) -> None:
        self.tell_about()
        self.refresh_footer()

    @on(CursorList.Opened)
    def _opened(self) -> None:
        self.action_act("open")
