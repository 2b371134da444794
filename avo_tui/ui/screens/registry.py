"""Maps places to screens and dialogs. A screen is one module, its place, and one line here.

Screens are imported when they are opened, so that the first picture does not wait for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.screen import Screen

from avo_tui.ui import places
from avo_tui.ui.places import Place


def _sessions(place: places.Sessions) -> Screen[Any]:
    from avo_tui.ui.screens.sessions import SessionsScreen

    return SessionsScreen()


def _new_session(place: places.NewSession) -> Screen[Any]:
    from avo_tui.ui.dialogs.new_session import NewSessionDialog

    return NewSessionDialog()


def _campaign(place: places.CampaignLines) -> Screen[Any]:
    from avo_tui.ui.screens.campaign import CampaignScreen

    return CampaignScreen(place.folder)


def _run(place: places.Run) -> Screen[Any]:
    from avo_tui.ui.screens.run.screen import RunScreen

    return RunScreen()


def _lineage(place: places.Lineage) -> Screen[Any]:
    from avo_tui.ui.screens.lineage import LineageScreen

    return LineageScreen(place.start)


def _attempts(place: places.Attempts) -> Screen[Any]:
    from avo_tui.ui.screens.attempts import AttemptsScreen

    return AttemptsScreen(place.needle)


def _compare(place: places.Compare) -> Screen[Any]:
    from avo_tui.ui.screens.compare import CompareScreen

    return CompareScreen(place.left, place.right)


def _kernel(place: places.Kernel) -> Screen[Any]:
    from avo_tui.ui.screens.kernel import KernelScreen

    return KernelScreen(place.name, place.candidate, place.version)


def _transcript(place: places.Transcript) -> Screen[Any]:
    from avo_tui.ui.screens.transcript import TranscriptScreen

    return TranscriptScreen(place.step)


def _log(place: places.Log) -> Screen[Any]:
    from avo_tui.ui.screens.log import LogScreen

    return LogScreen(place.name, place.chunks, grows=place.grows)


def _memory(place: places.Memory) -> Screen[Any]:
    from avo_tui.ui.screens.memory import MemoryScreen

    return MemoryScreen()


def _knowledge(place: places.Knowledge) -> Screen[Any]:
    from avo_tui.ui.screens.knowledge import KnowledgeScreen

    return KnowledgeScreen()


def _supervisor(place: places.Supervisor) -> Screen[Any]:
    from avo_tui.ui.screens.supervisor import SupervisorScreen

    return SupervisorScreen()


def _devices(place: places.Devices) -> Screen[Any]:
    from avo_tui.ui.screens.devices import DevicesScreen

    return DevicesScreen()


def _agreement(place: places.Agreement) -> Screen[Any]:
    from avo_tui.ui.dialogs.questions import agreement

    return agreement(place)


def _help(place: places.Help) -> Screen[Any]:
    from avo_tui.ui.dialogs.help import HelpDialog

    return HelpDialog(place)


SCREENS: dict[type[Place], Callable[[Any], Screen[Any]]] = {
    places.Sessions: _sessions,
    places.NewSession: _new_session,
    places.CampaignLines: _campaign,
    places.Run: _run,
    places.Lineage: _lineage,
    places.Attempts: _attempts,
    places.Compare: _compare,
    places.Kernel: _kernel,
    places.Transcript: _transcript,
    places.Log: _log,
    places.Memory: _memory,
    places.Knowledge: _knowledge,
    places.Supervisor: _supervisor,
    places.Devices: _devices,
    places.Agreement: _agreement,
    places.Help: _help,
}


def screen_for(place: Place) -> Screen[Any]:
    """The screen or dialog that shows a place. Raises KeyError for one without a line here."""
    return SCREENS[type(place)](place)
