"""The base of the screens above the run screen: a status line, a body, a text that is searched."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from avo_tui.ui.actions import Action, Actions
from avo_tui.ui.loader import Loader
from avo_tui.ui.screen import (
    COMMON,
    AvoScreen,
    copy_text,
    search_text,
    show_status,
    to_next_hit,
)
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.widgets.bars import ActionBar, StatusLine
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.pane import Pane


class DetailScreen(AvoScreen):
    """A screen above the run screen: one view for each of its `PANES`, unless `body` says more."""

    VIEW: ClassVar[type[LinesView]] = LinesView
    loader: Loader

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        yield from self.body()
        yield ActionBar(id="actions")
        yield FindBar()

    def body(self) -> ComposeResult:
        for name, (title, _) in self.PANES.items():
            with Pane(key="", title=title, id=name):
                yield self.VIEW(id=f"{name}-view")

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
        return self.query_one(self.MAIN, LinesView)

    def find(self, text: str, done: bool) -> str:
        return search_text(self.main, text)


look = Actions[DetailScreen]("look")
"""Actions of every such screen, with `close`."""
leaving = Actions[DetailScreen]("general")


@look("slash", "Find text.", footer=40, id="filter", label="find")
def find(screen: DetailScreen) -> None:
    screen.query_one(FindBar).open(screen.FIND)


@look("n", "The next row that was found.")
def next_hit(screen: DetailScreen) -> None:
    to_next_hit(screen.main)


@look("y", "Copy the text, without gutters.", footer=41)
def copy(screen: DetailScreen) -> None:
    copy_text(screen.main, screen.host)


@leaving("q,escape", "Back to the run.", footer=80, label="back")
def close(screen: DetailScreen) -> None:
    if screen.searching:
        screen.end_find()
    else:
        screen.dismiss(None)


DETAIL: tuple[Action[DetailScreen], ...] = (*look, *leaving, *COMMON)


def but(*ids: str) -> tuple[Action[DetailScreen], ...]:
    """The actions of every such screen without some, for a screen that does other things there."""
    return tuple(action for action in DETAIL if action.id not in ids)
