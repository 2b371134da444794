"""Notifies a person who is away about events in the sessions, by commands or messages.

A separate watcher process reads the session folders instead of asking the engine, so that it also
reports an engine that was lost.
"""

from avo_tui.notify.alerts import KINDS, Alert, Kind, current_alerts
from avo_tui.notify.channels import Channel, Delivery, Hook, Messages
from avo_tui.notify.throttle import QuietHours, Rules
from avo_tui.notify.watch import Watcher, watch

__all__ = [
    "KINDS",
    "Alert",
    "Channel",
    "Delivery",
    "Hook",
    "Kind",
    "Messages",
    "QuietHours",
    "Rules",
    "Watcher",
    "current_alerts",
    "watch",
]
