"""The screens. Each is imported when it is opened, so that the first picture waits for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui import on_demand

if TYPE_CHECKING:
    from avo_tui.ui.screens.attempts import AttemptsScreen
    from avo_tui.ui.screens.campaign import CampaignScreen
    from avo_tui.ui.screens.compare import CompareScreen
    from avo_tui.ui.screens.devices import DevicesScreen
    from avo_tui.ui.screens.kernel import KernelScreen
    from avo_tui.ui.screens.knowledge import KnowledgeScreen
    from avo_tui.ui.screens.log import LogScreen
    from avo_tui.ui.screens.memory import MemoryScreen
    from avo_tui.ui.screens.page import PageScreen
    from avo_tui.ui.screens.run.screen import RunScreen
    from avo_tui.ui.screens.search import SearchScreen
    from avo_tui.ui.screens.sessions import SessionsScreen
    from avo_tui.ui.screens.supervisor import SupervisorScreen
    from avo_tui.ui.screens.transcript import TranscriptScreen

__getattr__ = on_demand.names(
    __name__,
    {
        "attempts": ("AttemptsScreen",),
        "campaign": ("CampaignScreen",),
        "compare": ("CompareScreen",),
        "devices": ("DevicesScreen",),
        "kernel": ("KernelScreen",),
        "knowledge": ("KnowledgeScreen",),
        "log": ("LogScreen",),
        "memory": ("MemoryScreen",),
        "page": ("PageScreen",),
        "run.screen": ("RunScreen",),
        "search": ("SearchScreen",),
        "sessions": ("SessionsScreen",),
        "supervisor": ("SupervisorScreen",),
        "transcript": ("TranscriptScreen",),
    },
)
