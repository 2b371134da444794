"""The base of the screens above the run screen: a status line, a body, a text that is searched."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult

from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions
from avo_tui.ui.loader import Loader
from avo_tui.ui.screen import COMMON, AvoScreen, show_status
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.widgets.bars import ActionBar, StatusLine
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView


class DetailScreen(AvoScreen):
    """A screen above the run screen. `MAIN` selects the view that is searched and copied."""

    MAIN: ClassVar[str] = "#main"
    FIND: ClassVar[str] = "/ find"
    """The label of the row in which a text is typed."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: Snapshot | None = None
        self.loader: Loader | None = None
        self.searching = False
        """True while a search is active; escape ends the search first."""

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        yield from self.body()
        yield FindBar()
        yield ActionBar(id="actions")

    def body(self) -> ComposeResult:
        yield from ()

    def on_mount(self) -> None:
        self.loader = Loader(self.app, self.paint_again)
        self.snapshot = self.host.latest
        self.query_one(self.MAIN).focus()
        self.call_after_refresh(self.paint_again)

    def paint_again(self) -> None:
        """Repaint, where there is something to show."""
        if self.snapshot is not None and self.ready:
            self.repaint()

    def repaint(self) -> None:
        """Show what is known now."""

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.show_second()
        self.paint_again()

    def show_second(self) -> None:
        if self.snapshot is not None and self.ready:
            show_status(self, self.snapshot)

    def on_resize(self) -> None:
        self.call_after_refresh(self.show_second)
        self.call_after_refresh(self.paint_again)

    @property
    def main(self) -> LinesView:
        """The view that is searched and copied."""
        return self.query_one(self.MAIN, LinesView)

    @on(FindBar.Changed)
    def find_changed(self, event: FindBar.Changed) -> None:
        count = self.main.search(event.text)
        self.searching = bool(event.text)
        self.query_one(FindBar).set_count(
            f"{formats.many(count, 'hit')} · n next" if event.text else ""
        )
        if event.done:
            self.main.focus()

    @on(FindBar.Closed)
    def find_closed(self) -> None:
        self.main.search("")
        self.searching = False
        self.main.focus()


look = Actions[DetailScreen]("look")
"""Actions of every such screen, with `close`."""
leaving = Actions[DetailScreen]("general")


@look("slash", "Find text.", footer=40, id="filter", label="find")
def find(screen: DetailScreen) -> None:
    screen.query_one(FindBar).open(screen.FIND)


@look("n", "The next row that was found.")
def next_hit(screen: DetailScreen) -> None:
    number, count = screen.main.next_hit(1)
    text = f"{number} of {count}" if count else "nothing to go to: / finds text"
    screen.app.notify(text, timeout=2)


@look("y", "Copy the text, without gutters.", footer=41)
def copy(screen: DetailScreen) -> None:
    rows = screen.main.plain_rows()
    screen.app.copy_to_clipboard("\n".join(rows))
    screen.app.notify(f"copied {formats.many(len(rows), 'line')}", timeout=2)


@leaving("q,escape", "Back to the run.", footer=80, label="back")
def close(screen: DetailScreen) -> None:
    if screen.searching:
        screen.find_closed()
    else:
        screen.dismiss(None)


DETAIL: tuple[Action[DetailScreen], ...] = (*look, *leaving, *COMMON)


def but(*ids: str) -> tuple[Action[DetailScreen], ...]:
    """The actions of every such screen without some, for a screen that does other things there."""
    return tuple(action for action in DETAIL if action.id not in ids)
