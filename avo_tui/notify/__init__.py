"""Reaches a person who is away: what happened in the sessions, told by commands and by messages.

A watcher of its own looks at the session folders and not at the engine, so that an engine that was
lost is told, too.
"""

from avo_tui.notify.channels import Channel, Delivery, Hook, Messages
from avo_tui.notify.happenings import KINDS, Happening, Kind, happenings
from avo_tui.notify.rules import QuietHours, Rules
from avo_tui.notify.watch import Watcher, watch

__all__ = [
    "KINDS",
    "Channel",
    "Delivery",
    "Happening",
    "Hook",
    "Kind",
    "Messages",
    "QuietHours",
    "Rules",
    "Watcher",
    "happenings",
    "watch",
]
