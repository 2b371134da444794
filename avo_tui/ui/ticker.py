"""The timing of screen updates: a tick that shows new snapshots, and a second that updates
clocks."""

from __future__ import annotations

from avo_tui.ui.host import Host
from avo_tui.ui.screen import avo_screens
from avo_tui.ui.session.feed import Snapshot


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
