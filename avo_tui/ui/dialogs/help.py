"""Help: the focused pane, the screen, every key that is bound now."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal

from avo_tui.ui.actions import Action, shown_key
from avo_tui.ui.dialogs.frame import Dialog
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.text import BLANK, Line, fit, line, prose
from avo_tui.ui.widgets.form import Pill
from avo_tui.ui.widgets.lines import LinesView

MOVING = (
    ("↑ ↓  j k", "one row"),
    ("PgUp PgDn", "a page"),
    ("Home End  g G", "to the start, to the end; End follows the output again"),
    ("tab  ⇧tab", "the next pane, the one before"),
    ("^c", "copy what is selected with the mouse"),
)


class HelpDialog(Dialog[None]):
    """Help built from the screen's own list of actions, so that it is always up to date."""

    BINDINGS = [Binding("question_mark,q", "cancel", show=False)]  # noqa: RUF012

    def __init__(self, screen: AvoScreen) -> None:
        super().__init__("Help")
        self._screen, self._pane = screen, screen.pane_of_focus()

    def content(self) -> ComposeResult:
        yield LinesView(id="help-text")
        if self.app.is_web:  # there may be no escape key
            yield Horizontal(Pill("close", id="cancel"), id="buttons")

    def on_mount(self) -> None:
        view = self.query_one("#help-text", LinesView)
        view.show(lambda width: help_lines(self._screen, self._pane, width))
        view.focus()


def help_lines(screen: AvoScreen, pane: str | None, width: int) -> list[Line]:
    """The focused pane, the screen, and every key as it is bound now."""
    out: list[Line] = [BLANK]
    keys = screen.host.keys
    if pane is not None:
        title, text = screen.PANES[pane]
        out += [line((title, "title")), *prose(text, width), BLANK]
    if screen.ABOUT:
        out += [*prose(screen.ABOUT, width, "dim"), BLANK]
    groups: dict[str, list[Action[Any]]] = {}
    for action in screen.ACTIONS:
        groups.setdefault(action.group, []).append(action)
    for name, actions in groups.items():
        if name == "replay" and all(action.why_not(screen.context) for action in actions):
            continue
        out.append(line((name, "accent")))
        for action in actions:
            # what it does, beside its key; and why it cannot be done now
            reason, key = action.why_not(screen.context), f"  {fit(shown_key(action, keys), 7)}"
            out += prose(action.help, width, "dim" if reason else "", (key, "key"))
            if reason is not None:
                out += prose(f"not now: {reason}", width, "faint", (" " * len(key), ""))
        out.append(BLANK)
    out.append(line(("moving", "accent")))
    for names, text in MOVING:
        out += prose(text, width, "", (f"  {fit(names, 15)}", "key"))
    return out
