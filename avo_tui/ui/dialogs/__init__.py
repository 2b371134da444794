"""Dialogs. Each returns a value, or None when it is left with escape; the screen sends commands."""

from avo_tui.ui.dialogs.budget import BudgetDialog
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
    "label",
    "moments",
    "note",
    "problem",
    "space",
]
