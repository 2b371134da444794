"""The pace of the screens: a tick that shows a newer snapshot, a second that moves the clocks."""

from __future__ import annotations

from avo_tui.ui.host import Host
from avo_tui.ui.screen import avo_screens
from avo_tui.ui.session.feed import Snapshot


class Ticker:
    """Gives the top screen what is new. However many events arrive, it repaints once a tick."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.shown: Snapshot | None = None
        """What the screens show."""
        self._need = ""
        """What a person is needed for, as the title of the window says it."""

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
        """Title and bell where a person is needed, once for each need."""
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
        if need and need != "paused":  # a person paused it, and knows
            self._host.bell()
