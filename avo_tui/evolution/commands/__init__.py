"""The person's commands: one module for each kind, a registry, and the reader of the inbox."""

from avo_tui.evolution.commands.base import Desk
from avo_tui.evolution.commands.inbox import CommandInbox

__all__ = ["CommandInbox", "Desk"]
