"""Places: one small value for each screen or dialog, with what it shows.

A screen is opened by its place (`host.go(places.Compare(3, 8))`), so that screens need not import
each other. `screens/registry.py` maps places to screens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from avo_tui.ui.actions import BoundAction

LineageKey = tuple[str, int, int]
"""A row of the lineage: ("v", version, 0), ("a", step, attempt) ("f", step, 0)
for the folded attempts of a step, or ("s", first step, 0) for a stall."""


class Place:
    """A screen or dialog that can be opened."""


@dataclass(frozen=True)
class Sessions(Place):
    """The list of all sessions."""


@dataclass(frozen=True)
class NewSession(Place):
    """The form of a new session. Its result is the session's folder, or None."""


@dataclass(frozen=True)
class CampaignLines(Place):
    """All lines of a campaign."""

    folder: Path
    """The folder of the campaign's record."""


@dataclass(frozen=True)
class Run(Place):
    """The live view of the session in hand."""


@dataclass(frozen=True)
class Lineage(Place):
    """The lineage on the whole screen. Its result is the row to inspect, or None."""

    start: LineageKey | None = None


@dataclass(frozen=True)
class Attempts(Place):
    """All attempts as rows. Its result is the row of the lineage to inspect, or None."""

    needle: str = ""
    """The filter to begin with."""


@dataclass(frozen=True)
class Compare(Place):
    """Two versions side by side."""

    left: int
    right: int


@dataclass(frozen=True)
class Kernel(Place):
    """The whole source of a version or an attempt."""

    name: str
    candidate: str
    """The object that holds it."""
    version: int | None = None


@dataclass(frozen=True)
class Transcript(Place):
    """The whole conversation of a step."""

    step: int


@dataclass(frozen=True)
class Log(Place):
    """A text of any length; `chunks` reads it in a thread. `grows`: its end is followed."""

    name: str
    chunks: Callable[[], Iterable[bytes]]
    grows: bool = False


@dataclass(frozen=True)
class Memory(Place):
    """The agent's notes."""


@dataclass(frozen=True)
class Knowledge(Place):
    """The knowledge base."""


@dataclass(frozen=True)
class Supervisor(Place):
    """What the supervisor watches, and what it did."""


@dataclass(frozen=True)
class Devices(Place):
    """The devices that the run measures on."""


@dataclass(frozen=True)
class Agreement(Place):
    """The question whether to go on with a session that was made elsewhere. Its result is a bool,
    or None."""

    name: str
    starts: tuple[str, ...]
    """What going on runs on this machine, one line each."""


@dataclass(frozen=True)
class Help(Place):
    """The keys of a screen, and what its focused pane shows."""

    about: str
    """A paragraph on the screen."""
    pane: tuple[str, str] | None
    """Title of the focused pane, and what it shows."""
    actions: tuple[BoundAction, ...]
    keymap: Mapping[str, str]
    """Keys that were moved, by the action's id."""
