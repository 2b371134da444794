"""The person's commands: one module for each sort, a registry, and the inbox they come from."""

from avo_tui.evolution.commands.base import Desk
from avo_tui.evolution.commands.inbox import CommandInbox

__all__ = ["CommandInbox", "Desk"]
