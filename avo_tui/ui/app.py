"""The app: its parts, its first screen, its command palette, its tick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from avo_tui import garbage
from avo_tui.ui import dialogs, screens
from avo_tui.ui.actions import shown_key
from avo_tui.ui.host import Host, HostOptions
from avo_tui.ui.screen import AvoScreen, avo_screens
from avo_tui.ui.session.feed import Snapshot, Source

NOT_NOW = "not now: "
"""How the description of an action begins that cannot run now."""
GROUP_ORDER = {"by hand": 1, "control": 2, "panes": 3, "general": 3}
"""Rank of a group of actions; all others, which only look, come first."""
NOT_NOW_SCORE = 0.5
"""Factor by which such an action ranks lower in a search."""
HELP_SCORE = 0.3
"""Factor by which what is found in a description ranks below what is found in a name."""


class ActionsProvider(Provider):
    """The app's commands in their own order: looking first, what ends work last.

    Textual's provider sorts by name, which puts `Abort step` under the cursor.
    """

    def _commands(self) -> Iterator[SystemCommand]:
        yield from self.app.get_system_commands(self.screen)

    async def discover(self) -> Hits:
        """All commands, before anything is typed."""
        for command in sorted(self._commands(), key=lambda c: c.help.startswith(NOT_NOW)):
            yield DiscoveryHit(command.title, command.callback, help=command.help)

    async def search(self, query: str) -> Hits:
        """The commands that match what was typed, the best match first: by the letters of the name,
        or by at least half of the words, in name or description."""
        matcher = self.matcher(query)
        words = [word.removesuffix("s") for word in query.casefold().split()]
        for command in self._commands():
            text = f"{command.title} {command.help}".casefold()
            hits = sum(word in text for word in words)
            score = HELP_SCORE * hits / len(words) if 2 * hits >= len(words) > 0 else 0
            score = max(score, matcher.match(command.title))
            if score > 0:
                if command.help.startswith(NOT_NOW):
                    score *= NOT_NOW_SCORE
                yield Hit(
                    score, matcher.highlight(command.title), command.callback, help=command.help
                )


class Ticker:
    """Updates the top screen once per tick, however many events arrive."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.shown: Snapshot | None = None
        """The snapshot that the screens show."""
        self._need = ""
        """The reason why a person is needed, as shown in the window's title."""

    def tick(self) -> None:
        """Show the newest snapshot, where there is a newer one."""
        host = self._host
        latest = host.latest
        if latest is None or latest is self.shown or not host.screen_stack:
            return
        self.shown = latest
        ours = avo_screens(host.screen_stack)
        covered = bool(ours) and ours[-1] is not host.screen
        if ours and not (covered and host.connection.low_bandwidth):
            ours[-1].show_snapshot(latest)
        self._call_person(latest)

    def second(self) -> None:
        """Move the clocks of the top screen, and measure the connection."""
        self._host.connection.measure()
        ours = avo_screens(self._host.screen_stack)
        if ours:
            ours[-1].show_second()

    def _call_person(self, latest: Snapshot) -> None:
        """Set the title and ring the bell when a person is needed, once for each reason."""
        need = ""
        if latest.replay is None:
            known = latest.progress
            titles = {
                "approval": "waits for you",
                "engine": "engine lost",
                "resume": "paused",
                "disk": "waits for the disk",
            }
            need = titles.get(known.waits_for, "stuck" if known.stuck else "")
        if need == self._need:
            return
        self._need = need
        self._host.window.show(f"avo {latest.session.name}: {need}" if need else "")
        if need and need != "paused":  # a person paused it, so nobody needs to be called
            self._host.bell()


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
        campaign: Path | None = None,
        notice: str = "",
    ) -> None:
        """Opens on the session in `folder`, on `source`, or on the `campaign` in a folder; without
        any, on the list of sessions.

        `notice` is shown when the app has started.
        """
        self.ticker = Ticker(self)
        super().__init__(options or HostOptions(), self.ticker.tick)
        self._start = (folder, source, campaign, notice)

    def on_mount(self) -> None:
        self.set_keymap(self.keys)
        self.departure.heed_signals()
        self.connection.start()
        self.set_interval(1.0, self.ticker.second)
        self.set_interval(1.0, self.departure.heed_terminal)
        self.set_timer(1.0, garbage.release)  # held by the command line; the first picture is there
        folder, source, campaign, notice = self._start
        if source is not None:
            self.open_source(source)
        elif folder is not None:
            self.open_folder(folder)
        elif campaign is not None:
            self.push_screen(screens.CampaignScreen(campaign))
        else:
            self.push_screen(screens.SessionsScreen())
        if notice:
            self.call_after_refresh(self.notify, notice, severity="error", timeout=20, markup=False)

    def on_unmount(self) -> None:
        """End the thread that reads the session, however the app ends."""
        self.session.close()

    def show_run(self) -> None:
        self.push_screen(screens.RunScreen())

    def show_help(self) -> None:
        if isinstance(self.screen, AvoScreen):
            self.push_screen(dialogs.HelpDialog(self.screen))

    def ask_agreement(
        self, name: str, starts: Sequence[str], then: Callable[[bool | None], None]
    ) -> None:
        self.push_screen(dialogs.agreement(name, starts), then)

    def action_leave(self) -> None:
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
            on = screen.context
            for action in sorted(screen.ACTIONS, key=lambda one: GROUP_ORDER.get(one.group, 0)):
                if action.id == "palette":
                    continue
                reason, key = action.why_not(on), shown_key(action, self.keys)
                title = f"{action.label[0].upper()}{action.label[1:]}"
                yield SystemCommand(
                    f"{title} ({key})" if key else title,
                    action.help if reason is None else f"{NOT_NOW}{reason} · {action.help}",
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
