"""The error raised when a tool's call cannot be carried out."""

from __future__ import annotations


class ToolError(Exception):
    """The call cannot be carried out. The message says what to do instead; it goes to the agent."""
