"""Dialogs. Each returns a value, or None when it is left with escape; the screen sends commands."""

from avo_tui.ui.dialogs.budget import BudgetDialog
from avo_tui.ui.dialogs.confirm import Confirm, PauseMenu
from avo_tui.ui.dialogs.frame import Dialog, label, note, problem, space
from avo_tui.ui.dialogs.hint import HintDialog, moments
from avo_tui.ui.dialogs.options import OptionsDialog
from avo_tui.ui.dialogs.reading import Digest
from avo_tui.ui.dialogs.rewind import RewindDialog
from avo_tui.ui.dialogs.writing import TextDialog

__all__ = [
    "BudgetDialog",
    "Confirm",
    "Dialog",
    "Digest",
    "HintDialog",
    "OptionsDialog",
    "PauseMenu",
    "RewindDialog",
    "TextDialog",
    "label",
    "moments",
    "note",
    "problem",
    "space",
]
