"""Help: the focused pane, the screen, every key that is bound now."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding

from avo_tui.ui.actions import Action, shown_key
from avo_tui.ui.screens.base import AvoScreen
from avo_tui.ui.screens.dialogs import Dialog
from avo_tui.ui.text import BLANK, Line, fit, line, prose
from avo_tui.ui.widgets.lines import LinesView

MOVING = (
    ("↑ ↓  j k", "one row"),
    ("PgUp PgDn", "a page"),
    ("Home End  g G", "to the start, to the end; End follows the output again"),
    ("tab  ⇧tab", "the next pane, the one before"),
    ("^c", "copy what is selected with the mouse"),
)


class HelpScreen(Dialog[None]):
    """Reads the registry, so that it is never out of date."""

    HEADING = "Help"
    BINDINGS = [Binding("question_mark,q", "cancel", show=False)]  # noqa: RUF012

    def __init__(self, screen: AvoScreen, pane: str | None) -> None:
        super().__init__()
        self._screen, self._pane = screen, pane

    def content(self) -> ComposeResult:
        """One scrolled text."""
        yield LinesView(id="help-text")

    def on_mount(self) -> None:
        """Fill and focus."""
        view = self.query_one("#help-text", LinesView)
        view.show(self._lines)
        view.focus()

    def _lines(self, width: int) -> list[Line]:
        screen = self._screen
        out: list[Line] = [BLANK]
        if self._pane in screen.PANES:
            title, said = screen.PANES[self._pane]
            out += [line((title, "title")), *prose(said, width), BLANK]
        if screen.ABOUT:
            out += [*prose(screen.ABOUT, width, "dim"), BLANK]
        groups: dict[str, list[Action]] = {}
        for action in screen.ACTIONS:
            groups.setdefault(action.group, []).append(action)
        keymap = screen.keymap()
        for name, actions in groups.items():
            if name == "replay" and all(screen.why_not(a) for a in actions):
                continue
            out.append(line((name, "accent")))
            for action in actions:
                reason = screen.why_not(action)
                key = fit(shown_key(action, keymap), 7)
                text = action.help
                out.append(
                    line(
                        (f"  {key}", "key"),
                        *prose(text, 10_000, "" if reason is None else "dim")[0].spans,
                    )
                )
                if reason is not None:
                    out.append(line((f"         not now: {reason}", "faint")))
            out.append(BLANK)
        out.append(line(("moving", "accent")))
        out += [line((f"  {fit(keys, 15)}", "key"), said) for keys, said in MOVING]
        return out
