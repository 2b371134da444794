"""The parts that the run screen owns: what its actions work on."""

from __future__ import annotations

from dataclasses import dataclass

from avo_tui.domain.records import Version
from avo_tui.ui.host import Host
from avo_tui.ui.panes.diff.painter import DiffPainter
from avo_tui.ui.panes.score.painter import ScorePainter
from avo_tui.ui.screens.run.arrangement import Arrangement
from avo_tui.ui.screens.run.finder import Finder
from avo_tui.ui.screens.run.scene import Scene
from avo_tui.ui.screens.run.walk import Walk
from avo_tui.ui.session.feed import Snapshot


@dataclass
class RunParts:
    """The object that the actions of the run screen receive."""

    scene: Scene
    arrangement: Arrangement
    finder: Finder
    walk: Walk
    diff: DiffPainter | None = None
    """None until the screen is mounted; so is `score`."""
    score: ScorePainter | None = None

    @property
    def host(self) -> Host:
        """The app."""
        return self.scene.host

    @property
    def snapshot(self) -> Snapshot | None:
        """What is known of the run; None until the first snapshot."""
        return self.scene.snapshot

    @property
    def known(self) -> Snapshot:
        """The current snapshot, for actions whose condition guarantees that there is one."""
        assert self.scene.snapshot is not None
        return self.scene.snapshot

    @property
    def version(self) -> Version:
        """The selected version, for actions whose condition guarantees that there is one."""
        version = self.scene.version_in_hand
        assert version is not None
        return version
