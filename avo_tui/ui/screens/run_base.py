"""What the parts of the run screen share: the snapshot, the lineage, what is looked at."""

from __future__ import annotations

from avo_tui.domain.records import Version
from avo_tui.ui.feed import Snapshot
from avo_tui.ui.graph import Key
from avo_tui.ui.screens.base import AvoScreen
from avo_tui.ui.screens.run_content import subject_of
from avo_tui.ui.widgets.lineage import LineageView


class RunBase(AvoScreen):
    """The state that the mixins of the run screen work on."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: Snapshot | None = None
        self.active = "lineage"
        """The pane that has, or had last, the focus."""
        self.zoomed = False
        self.settled: Key | None = None
        """What the panes show; follows the cursor once it rests."""

    @property
    def lineage(self) -> LineageView:
        """The lineage's view."""
        return self.query_one("#lineage-view", LineageView)

    @property
    def cursor(self) -> object:
        """What is inspected; None while the run is followed."""
        return self.lineage.cursor if self.ready else None

    @property
    def version_in_hand(self) -> Version | None:
        """The version under the cursor; the head while the run is followed."""
        if self.snapshot is None:
            return None
        subject = subject_of(self.snapshot, self.lineage.cursor)
        if subject.version is not None:
            return subject.version
        if subject.attempt is not None:
            return self.snapshot.versions.get(subject.attempt.parent)
        return self.snapshot.head

    def repaint(self) -> None:
        """Show the present snapshot and cursor."""
        raise NotImplementedError

    def do_live(self) -> None:
        """Back to what the run does now."""
        raise NotImplementedError
