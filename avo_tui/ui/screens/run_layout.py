"""Which panes of the run screen are shown, and which one is active."""

from __future__ import annotations

from textual import on

from avo_tui.ui.screens.run_base import RunBase
from avo_tui.ui.widgets.bars import TabBar

PANES = ("lineage", "plan", "diff", "output", "score")
RIGHT = ("plan", "diff", "output")
"""Panes of the right column; where there is room for one of them, the last that was active."""
NAMES = {"lineage": "Lineage", "plan": "Plan", "diff": "Diff", "output": "Output", "score": "Score"}
WIDE, MEDIUM, TALL = 120, 100, 30
"""Columns from which all panes are shown; from which two are; rows below which tabs are used."""


def arrangement(width: int, height: int) -> str:
    """`wide`: all panes. `medium`: the lineage, and one other beside it. `tabs`: one."""
    if width >= WIDE and height >= TALL:
        return "wide"
    return "medium" if width >= MEDIUM else "tabs"


class RunLayout(RunBase):
    """Panes by size, tabs, zoom, focus."""

    def __init__(self) -> None:
        super().__init__()
        self._arranged = ""
        self._right = "plan"

    def fit(self) -> None:
        """The panes, too."""
        self.arrange_panes()
        self.repaint()
        super().fit()

    def on_resize(self) -> None:
        """Panes as the size allows."""
        self.arrange_panes()
        self.call_after_refresh(self.repaint)

    def arrange_panes(self) -> None:
        """Show the panes that the size and the zoom allow."""
        how = arrangement(*self.app.size)
        solo = self.zoomed or how == "tabs"
        basis = f"{how}{solo}{self.active}"
        if basis != self._arranged:
            self._arranged = basis
            self.set_class(solo, "-solo")
            self.set_class(how == "medium" and not solo, "-medium")
            shown = set(PANES)
            if solo:
                shown = {self.active}
            elif how == "medium":
                shown = {"lineage", "score", self.active if self.active in RIGHT else self._right}
            for name in PANES:
                self.query_one(f"#{name}").display = name in shown
            self.query_one("#left").display = bool(shown & {"lineage", "score"})
            self.query_one("#right").display = bool(shown & set(RIGHT))
            tabs = self.query_one("#tabs", TabBar)
            tabs.display = how != "wide" or self.zoomed
            self._mark_right()
        self._draw_tabs()

    def _mark_right(self) -> None:
        if self.active in RIGHT:
            self._right = self.active

    def _draw_tabs(self) -> None:
        names = [(i + 1, NAMES[p]) for i, p in enumerate(PANES)]
        active = PANES.index(self.active) + 1
        self.query_one("#tabs", TabBar).show_tabs(names, active)

    def do_pane(self, name: str) -> None:
        """Focus a pane, showing it if it is hidden."""
        self.active = name
        self.arrange_panes()
        self.query_one(f"#{name}-view").focus()
        self.call_after_refresh(self.repaint)

    do_pane1 = do_pane2 = do_pane3 = do_pane4 = do_pane5 = do_pane

    def action_next_pane(self, way: int) -> None:
        """The next pane in the order of the numbers."""
        current = self.pane_of_focus() or self.active
        self.do_pane(PANES[(PANES.index(current) + way) % len(PANES)])

    @on(TabBar.Picked)
    def _tab_picked(self, event: TabBar.Picked) -> None:
        self.do_pane(PANES[event.index - 1])

    def on_descendant_focus(self) -> None:
        """The active pane is the focused one."""
        pane = self.pane_of_focus()
        if pane is not None and pane != self.active:
            self.active = pane
            self._mark_right()
            self._draw_tabs()

    def do_zoom(self) -> None:
        """The focused pane alone, and back."""
        self.zoomed = not self.zoomed
        self.arrange_panes()
        self.call_after_refresh(self.repaint)
