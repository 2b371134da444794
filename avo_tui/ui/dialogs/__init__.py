"""Dialogs. Each returns a value, or None when it is left with escape; the screen sends commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui import on_demand

if TYPE_CHECKING:
    from avo_tui.ui.dialogs.budget import BudgetDialog, budget_text
    from avo_tui.ui.dialogs.confirm import Confirm, PauseMenu
    from avo_tui.ui.dialogs.frame import Dialog, label, note, problem, space
    from avo_tui.ui.dialogs.hint import HintDialog, moments
    from avo_tui.ui.dialogs.options import OptionsDialog
    from avo_tui.ui.dialogs.rewind import RewindDialog
    from avo_tui.ui.dialogs.text_viewer import TextViewer
    from avo_tui.ui.dialogs.writing import TextDialog

__all__ = [
    "BudgetDialog",
    "Confirm",
    "Dialog",
    "HintDialog",
    "OptionsDialog",
    "PauseMenu",
    "RewindDialog",
    "TextDialog",
    "TextViewer",
    "budget_text",
    "label",
    "moments",
    "note",
    "problem",
    "space",
]

__getattr__ = on_demand.names(
    __name__,
    {
        "budget": (
            "BudgetDialog",
            "budget_text",
        ),
        "confirm": (
            "Confirm",
            "PauseMenu",
        ),
        "frame": (
            "Dialog",
            "label",
            "note",
            "problem",
            "space",
        ),
        "hint": (
            "HintDialog",
            "moments",
        ),
        "options": ("OptionsDialog",),
        "rewind": ("RewindDialog",),
        "text_viewer": ("TextViewer",),
        "writing": ("TextDialog",),
    },
)
