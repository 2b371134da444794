"""The app: its first screen, and what its parts are given.

`themed` has the colours, `following` the session, `leaving` the way out, `paced` the painting.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from textual.app import SystemCommand
from textual.screen import Screen

from avo_tui.domain.base import now as utc_now
from avo_tui.store import SeenMarks
from avo_tui.ui.actions import shown_key
from avo_tui.ui.feed import Source
from avo_tui.ui.paced import Paced
from avo_tui.ui.screens.base import AvoScreen
from avo_tui.ui.services import Services
from avo_tui.ui.syntax import Highlighter
from avo_tui.ui.themed import CYCLE


class AvoApp(Paced):
    """avo-tui's screens on one session, or on the list of them.

    `low_bandwidth` None: chosen by itself where the terminal is at the end of a slow connection.
    `folder` opens a session at once; `source` gives one that is not a folder (a replay). `keys`
    moves actions to other keys, by the action's id.
    """

    TITLE = "avo"
    CSS_PATH = ["styles/paint.tcss", "styles/app.tcss"]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(
        self,
        services: Services | None = None,
        *,
        folder: Path | None = None,
        source: Source | None = None,
        theme: str = "avo-dark",
        low_bandwidth: bool | None = None,
        keys: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] = utc_now,
        roots: Iterable[Path] | None = None,
        marks: SeenMarks | None = None,
        notice: str = "",
    ) -> None:
        super().__init__(
            low_bandwidth=low_bandwidth,
            keys=keys or {},
            services=services or Services(),
            marks=marks,
            theme=theme,
        )
        self.start_folder, self.start_source = folder, source
        self.notice = notice
        """A sentence to be told once the first screen is there."""
        self.clock = clock
        self.roots = None if roots is None else list(roots)
        self.highlighter = Highlighter()

    # -- life

    def on_mount(self) -> None:
        """Signals, the tick, the first screen."""
        self.set_keymap(self.keys)
        self._heed_signals()
        self.set_low_bandwidth(self.low_bandwidth, tell=False)
        self.set_interval(1.0, self._second)
        if self.start_source is not None:
            self.open_source(self.start_source)
        elif self.start_folder is not None:
            self.open_folder(self.start_folder)
        else:
            from avo_tui.ui.screens.sessions import SessionsScreen

            self.push_screen(SessionsScreen())
        if self.notice:
            self.call_after_refresh(
                self.notify, self.notice, severity="error", timeout=20, markup=False
            )

    def from_thread(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call something from a worker's thread that mounts widgets or opens screens.

        `call_from_thread` would run it outside the app's own message, where a screen that is
        pushed is not composed in time.
        """
        self.call_from_thread(self.call_later, callback, *arguments)

    # -- palette

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action of the screen, by name."""
        if isinstance(screen, AvoScreen):
            keymap = screen.keymap()
            for action in screen.ACTIONS:
                if action.id == "palette":
                    continue
                reason = screen.why_not(action)
                key = shown_key(action, keymap)
                said = action.help if reason is None else f"not now: {reason}"
                title = f"{action.label[0].upper()}{action.label[1:]}"
                yield SystemCommand(
                    f"{title} ({key})" if key else title,
                    said,
                    lambda name=action.id: screen.action_act(name),
                )
        for name in self.available_themes:
            if name in CYCLE or name.startswith("avo"):
                yield SystemCommand(
                    f"Theme {name}", "Change the colours", lambda n=name: setattr(self, "theme", n)
                )
        yield SystemCommand("Leave", "Leave the screen; the run goes on", self.leave)


def run_app(app: AvoApp) -> int:
    """Run until the person leaves; prints the farewell; returns the exit code."""
    app.run()
    code = app.return_code or 0
    terminal = app.terminal
    if terminal is not None and terminal.writer is not None and terminal.writer.stuck:
        return code  # nobody reads: a farewell would wait for ever
    if app.farewell:
        print(app.farewell, file=sys.stderr if code else sys.stdout)
    return code
