"""What the run screen shows: the newest snapshot and the selected row."""

from __future__ import annotations

from collections.abc import Callable

from avo_tui.domain.records import Version
from avo_tui.ui.host import Host
from avo_tui.ui.panes.lineage.graph_layout import Key
from avo_tui.ui.panes.lineage.view import LineageView
from avo_tui.ui.panes.selection import Selection, subject_of
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot


class Scene:
    """Shared by the parts of the run screen."""

    def __init__(self, screen: AvoScreen, repaint: Callable[[], None]) -> None:
        self.screen = screen
        self.repaint = repaint
        """Paints the current snapshot and selection; panes that are up to date are left
        unchanged."""
        self.snapshot: Snapshot | None = None
        self.settled: Key | None = None
        """Key of the row that the panes show; it is updated when the cursor has stopped moving.
        None for the live run."""

    @property
    def host(self) -> Host:
        """The app."""
        return self.screen.host

    @property
    def lineage(self) -> LineageView:
        """The lineage's view."""
        return self.screen.query_one("#lineage-view", LineageView)

    @property
    def cursor(self) -> Key | None:
        """Key of the selected row; None while the screen follows the run."""
        return self.lineage.cursor if self.screen.ready else None

    @property
    def filtered(self) -> bool:
        """Whether the lineage shows only the rows that hold a text, which may be none."""
        return self.screen.ready and bool(self.lineage.needle)

    @property
    def subject(self) -> Selection:
        """What is under the cursor; the live step while the screen follows the run."""
        return Selection() if self.snapshot is None else subject_of(self.snapshot, self.cursor)

    @property
    def version_in_hand(self) -> Version | None:
        """The selected version, or the one that the selected attempt was made from; else the
        head."""
        if self.snapshot is None:
            return None
        if self.filtered and self.cursor is None:
            return None  # a filter that nothing passes: the head is not what is looked at
        subject = self.subject
        if subject.version is not None:
            return subject.version
        if subject.attempt is not None:
            return self.snapshot.versions.get(subject.attempt.parent)
        return self.snapshot.head
