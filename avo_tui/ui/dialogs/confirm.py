"""Questions: yes or no, and how to pause."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult

from avo_tui.ui import places
from avo_tui.ui.dialogs.frame import Dialog, note, space
from avo_tui.ui.text import Line, line, one_line
from avo_tui.ui.widgets.form import Menu
from avo_tui.ui.widgets.lines import LinesView


class Confirm(Dialog[bool]):
    """Yes or no."""

    def __init__(
        self,
        heading: str,
        said: str,
        accept: str,
        details: Sequence[Line] = (),
        cancel: str = "esc  cancel",
    ) -> None:
        super().__init__()
        self._heading, self._said, self._details = heading, said, list(details)
        self._accept, self._cancel = accept, cancel

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return self._heading

    def content(self) -> ComposeResult:
        """The question, details, two buttons."""
        yield note(self._said)
        if self._details:
            view = LinesView(id="details")
            view.can_focus = False
            yield view
        yield self.buttons(self._accept, self._cancel)

    def on_mount(self) -> None:
        """The harmless button has the focus."""
        for view in self.query(LinesView):
            view.styles.height = min(len(self._details), 12)
            view.show(lambda width: self._details)
        self.query_one("#cancel").focus()

    def action_accept(self) -> None:
        """Yes."""
        self.dismiss(True)


def agreement(place: places.Agreement) -> Confirm:
    """The question before a session that was made elsewhere is gone on with."""
    question = (
        f"{one_line(place.name)} was not made by you on this machine. Looking at it runs nothing. "
        "Going on starts an engine that runs what its settings name, with your rights:"
    )
    rows = [line(("· ", "dim"), one_line(text)) for text in place.starts]
    accept, cancel = "go on, now and in future", "esc  only look"
    return Confirm("Made elsewhere", question, accept, rows, cancel=cancel)


class PauseMenu(Dialog[str]):
    """The three forms of a pause."""

    HEADING = "Pause"

    def content(self) -> ComposeResult:
        """A menu."""
        yield space()
        yield Menu(
            [
                (
                    "after_tool",
                    "after this tool",
                    "the running compile or benchmark is finished first",
                ),
                (
                    "after_step",
                    "after this step",
                    "the operator finishes what it is at, then waits",
                ),
                ("now", "now", "cuts the stream, ends the child; its answer is lost"),
            ]
        )
        yield note("Paused time is not spent time. p goes on in the same conversation.")

    @on(Menu.Chosen)
    def _chosen(self, event: Menu.Chosen) -> None:
        self.dismiss(event.value)
