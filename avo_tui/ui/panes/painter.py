"""What the painters of the run screen's panes share."""

from __future__ import annotations

from avo_tui.ui.loader import Loader
from avo_tui.ui.panes.subject import Subject
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.widgets.pane import Pane


class PanePainter:
    """Shows a subject in one pane; what is painted already is left alone."""

    NAME = ""
    """The pane's id."""

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        self.host = screen.host
        self.loader = loader
        self.pane = screen.query_one(f"#{self.NAME}", Pane)
        self._painted: dict[str, object] = {}

    def paint(self, snapshot: Snapshot, subject: Subject, changed: bool) -> None:
        """Show `subject`; `changed` is true where it is another one than before."""
        raise NotImplementedError

    def differs(self, basis: object, part: str = "") -> bool:
        """True where the input of (a part of) the pane differs from what was painted last."""
        if part in self._painted and self._painted[part] == basis:
            return False
        self._painted[part] = basis
        return True
