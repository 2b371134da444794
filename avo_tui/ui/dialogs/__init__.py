"""Dialogs. Each returns a value, or None when it is left with escape; the screen sends commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui import on_demand

if TYPE_CHECKING:
    from avo_tui.ui.dialogs.help import HelpDialog
    from avo_tui.ui.dialogs.new_session import NewSessionDialog
    from avo_tui.ui.dialogs.options import OptionsDialog
    from avo_tui.ui.dialogs.questions import Confirm, PauseMenu, TextDialog, agreement, not_empty
    from avo_tui.ui.dialogs.steering import (
        BudgetDialog,
        HintDialog,
        RewindDialog,
        budget_text,
        moments,
    )
    from avo_tui.ui.dialogs.text_viewer import TextViewer

__getattr__ = on_demand.names(
    __name__,
    {
        "help": ("HelpDialog",),
        "new_session": ("NewSessionDialog",),
        "options": ("OptionsDialog",),
        "questions": ("Confirm", "PauseMenu", "TextDialog", "agreement", "not_empty"),
        "steering": ("BudgetDialog", "HintDialog", "RewindDialog", "budget_text", "moments"),
        "text_viewer": ("TextViewer",),
    },
)
