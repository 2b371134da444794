"""Which panes of the run screen are shown, and which one is active."""

from __future__ import annotations

from avo_tui.ui.screens.run.scene import Scene
from avo_tui.ui.widgets.bars import TabBar

PANES = ("lineage", "plan", "diff", "output", "score")
RIGHT = ("plan", "diff", "output")
"""Panes of the right column; if there is room for only one, the last active one is shown."""
NAMES = {"lineage": "Lineage", "plan": "Plan", "diff": "Diff", "output": "Output", "score": "Score"}
WIDE, MEDIUM, TALL = 120, 100, 30
"""Width in columns from which all panes are shown, and from which two are; height in rows below
which tabs are used."""


def arrangement(width: int, height: int) -> str:
    """`wide`: all panes. `medium`: the lineage, and one other beside it. `tabs`: one."""
    if width >= WIDE and height >= TALL:
        return "wide"
    return "medium" if width >= MEDIUM else "tabs"


class Arrangement:
    """Arranges the panes: by the size of the screen, tabs, zoom and focus."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._screen = scene, scene.screen
        self.active = "lineage"
        """The pane that has, or had last, the focus."""
        self.zoomed = False
        self._arranged: object = None
        """The input of the current arrangement."""
        self._right = "plan"

    def arrange(self) -> None:
        """Show the panes that the size and the zoom allow."""
        screen = self._screen
        how = arrangement(*screen.app.size)
        solo = self.zoomed or how == "tabs"
        basis = (how, solo, self.active)
        if basis != self._arranged:
            self._arranged = basis
            screen.set_class(solo, "-solo")
            screen.set_class(how == "medium" and not solo, "-medium")
            shown = set(PANES)
            if solo:
                shown = {self.active}
            elif how == "medium":
                shown = {"lineage", "score", self.active if self.active in RIGHT else self._right}
            for name in PANES:
                screen.query_one(f"#{name}").display = name in shown
            screen.query_one("#left").display = bool(shown & {"lineage", "score"})
            screen.query_one("#right").display = bool(shown & set(RIGHT))
            screen.query_one("#tabs", TabBar).display = how != "wide" or self.zoomed
            self._mark_right()
        self._draw_tabs()

    def _mark_right(self) -> None:
        if self.active in RIGHT:
            self._right = self.active

    def _draw_tabs(self) -> None:
        names = [(i + 1, NAMES[p]) for i, p in enumerate(PANES)]
        active = PANES.index(self.active) + 1
        self._screen.query_one("#tabs", TabBar).show_tabs(names, active)

    def show(self, name: str) -> None:
        """Focus a pane, showing it if it is hidden."""
        self.active = name
        self.arrange()
        self._screen.query_one(f"#{name}-view").focus()
        self._screen.call_after_refresh(self._scene.repaint)

    def next(self, by: int) -> None:
        """Focus the pane that comes `by` places later in the order of the numbers."""
        current = self._screen.pane_of_focus() or self.active
        self.show(PANES[(PANES.index(current) + by) % len(PANES)])

    def focus_moved(self) -> None:
        """The active pane is the focused one."""
        pane = self._screen.pane_of_focus()
        if pane is not None and pane != self.active:
            self.active = pane
            self._mark_right()
            self._draw_tabs()

    def toggle_zoom(self) -> None:
        """The active pane alone, and back."""
        self.zoomed = not self.zoomed
        self.arrange()
        self._screen.call_after_refresh(self._scene.repaint)
