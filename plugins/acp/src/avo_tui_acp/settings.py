"""The settings of the operator `acp`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from avo_tui.operators.settings import OperatorSettings
from avo_tui.user_paths import from_home

Permissions = Literal["seat", "ask", "all"]


class AcpSettings(OperatorSettings):
    """The options `acp.…` of a run."""

    prefix: ClassVar[str] = "acp."
    who: ClassVar[str] = "the operator acp"

    agent: str = ""
    """Command that starts the agent and lets it speak the Agent Client Protocol over its standard
    input and output, such as `opencode acp`; takes effect when the agent is started."""
    permissions: Permissions = "seat"
    """What the agent is allowed where it asks: `seat` allows the seat's tools and refuses all else,
    `ask` pauses the run for all else (resuming allows it once), `all` allows everything."""
    folder: str = ""
    """Folder that the agent works in; without one an empty folder of its own, removed in the end.
    Takes effect when the agent is started."""
    idle_turns: int = Field(default=3, ge=1)
    """Turns in a row in which the agent calls no tool of the seat; then the run pauses."""
    hold_seconds: float = Field(default=20.0, ge=0)
    """Seconds of a pause after which the agent's turn is cancelled, so that it does not spend
    tokens on waiting; `pause now` cancels it at once."""
    start_seconds: float = Field(default=120.0, gt=0)
    """Seconds that the agent may take to start."""

    def place(self) -> Path | None:
        """The folder that the agent works in; None for a temporary empty folder."""
        return from_home(self.folder).absolute() if self.folder else None

    def command(self) -> list[str]:
        """The agent's command as a list of words. Raises ValueError, with one sentence, if there is
        none."""
        try:
            words = shlex.split(self.agent)
        except ValueError as error:
            raise ValueError(f"option acp.agent is not a command: {error}") from None
        if not words:
            raise ValueError(
                "name the agent to start, such as --agent 'opencode acp' (option acp.agent)"
            )
        return words
