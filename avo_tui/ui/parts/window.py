"""The title of the terminal's window, which shows that a person is needed."""

from __future__ import annotations

from avo_tui.ui.textual_internals import OpenedApp


class WindowTitle:
    """Sets the window's title while the app runs, and restores it afterwards."""

    def __init__(self, app: OpenedApp) -> None:
        self._app = app
        self._title = ""

    def show(self, title: str) -> None:
        """Set the title; an empty one restores what stood there before the app set any."""
        if title == self._title:
            return
        if title:
            # "22;2t" has the terminal remember its title, "23;2t" has it take that one back.
            remember = "" if self._title else "\x1b[22;2t"
            self._app.to_terminal(f"{remember}\x1b]2;{title}\x07")
        else:
            self._app.to_terminal("\x1b[23;2t")
        self._title = title
