"""The base class of the painters of the run screen's panes."""

from __future__ import annotations

from avo_tui.ui.loader import Loader
from avo_tui.ui.panes.selection import Selection
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.widgets.pane import Pane


class PanePainter:
    """Shows a selection in one pane; does nothing if the pane is up to date."""

    NAME = ""
    """The pane's id."""

    HEAD_AT_REST = False
    """Whether it shows the head while a run is followed that is over and whose last step has
    evaluated nothing; the pane would be empty."""

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        self.host = screen.host
        self.loader = loader
        self.pane = screen.query_one(f"#{self.NAME}", Pane)
        self._painted: dict[str, object] = {}

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        """Show `subject`; `changed` is true where it is another one than before."""
        raise NotImplementedError

    def differs(self, basis: object, part: str = "") -> bool:
        """Whether the input of (a part of) the pane differs from what was painted last."""
        if part in self._painted and self._painted[part] == basis:
            return False
        self._painted[part] = basis
        return True
