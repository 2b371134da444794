"""The app: its parts, its first screen, its command palette."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from avo_tui import garbage
from avo_tui.ui import places
from avo_tui.ui.actions import shown_key
from avo_tui.ui.host import Host, HostOptions
from avo_tui.ui.palette import GROUP_ORDER, NOT_NOW, ActionsProvider
from avo_tui.ui.places import Place
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.screens.registry import screen_for
from avo_tui.ui.session.feed import Source
from avo_tui.ui.ticker import Ticker


class AvoApp(Host):
    """The app, showing one session or the list of sessions.

    `folder` opens a session at once; `source` provides one that is not a folder (a replay).
    `notice` is a sentence shown over the first screen. For the other arguments see `HostOptions`.
    """

    TITLE = "avo"
    CSS_PATH = ["styles/paint.tcss", "styles/app.tcss"]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS = {ActionsProvider}  # noqa: RUF012
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+c", "copy_or_hint", show=False, system=True),
        Binding("ctrl+q", "leave", show=False, system=True, priority=True),
    ]

    def __init__(
        self,
        options: HostOptions | None = None,
        *,
        folder: Path | None = None,
        source: Source | None = None,
        place: Place | None = None,
        notice: str = "",
    ) -> None:
        """Opens on the session in `folder`, on `source` or on `place`; without any, on the list of
        sessions.

        `notice` is shown when the app has started.
        """
        self.ticker = Ticker(self)
        super().__init__(options or HostOptions(), self.ticker.tick)
        self._start = (folder, source, place, notice)

    def on_mount(self) -> None:
        """Signals, the tick, the first screen."""
        self.set_keymap(self.keys)
        self.departure.heed_signals()
        self.connection.start()
        self.set_interval(1.0, self.ticker.second)
        self.set_interval(1.0, self.departure.heed_terminal)
        self.set_timer(1.0, garbage.release)  # held by the command line; the first picture is there
        folder, source, opening_place, notice = self._start
        if source is not None:
            self.open_source(source)
        elif folder is not None:
            self.open_folder(folder)
        else:
            self.go(opening_place or places.Sessions())
        if notice:
            self.call_after_refresh(self.notify, notice, severity="error", timeout=20, markup=False)

    def on_unmount(self) -> None:
        """End the thread that reads the session, however the app ends."""
        self.session.close()

    def screen_for(self, place: Place) -> Screen[Any]:
        """The screen or dialog that shows a place."""
        return screen_for(place)

    def action_leave(self) -> None:
        """Leave the app; ctrl+q works on every screen."""
        self.departure.leave()

    def action_copy_or_hint(self) -> None:
        """Copy the selection (ctrl+c); without a selection, say how to leave."""
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.notify(f"copied {len(selected)} characters", timeout=2)
        else:
            self.notify("q leaves, the run goes on; S stops the run", timeout=4)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The entries of the command palette: every action of the screen, themes, leaving.

        What looks comes before what changes the run.
        """
        if isinstance(screen, AvoScreen):
            for action in sorted(
                screen.actions, key=lambda action: GROUP_ORDER.get(action.group, 0)
            ):
                if action.id == "palette":
                    continue
                reason = action.why_not()
                key = shown_key(action, self.keys)
                title = f"{action.label[0].upper()}{action.label[1:]}"
                yield SystemCommand(
                    f"{title} ({key})" if key else title,
                    action.help if reason is None else f"{NOT_NOW}{reason}",
                    lambda name=action.id: screen.action_act(name),
                )
        for name in self.themes.names():
            yield SystemCommand(
                f"Theme {name}", "Change the colours", lambda n=name: setattr(self, "theme", n)
            )
        yield SystemCommand(
            "Leave", "Leave the screen; the run goes on", lambda: self.departure.leave()
        )


def run_app(app: AvoApp) -> int:
    """Run until the person leaves; print a farewell; return the exit code."""
    app.run()
    code = app.return_code or 0
    terminal = app.terminal
    if terminal is not None and terminal.writer is not None and terminal.writer.stuck:
        return code  # nobody reads the output, so printing a farewell would block for ever
    if app.departure.farewell:
        print(app.departure.farewell, file=sys.stderr if code else sys.stdout)
    return code
