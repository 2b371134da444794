"""The entries of the command palette, in an order in which none is chosen by mistake."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider

NOT_NOW = "not now: "
"""How the description of an action begins that cannot run now."""
GROUP_ORDER = {"by hand": 1, "control": 2, "panes": 3, "general": 3}
"""Rank of a group of actions; all others, which only look, come first."""
NOT_NOW_SCORE = 0.5
"""Factor by which such an action ranks lower in a search."""


class ActionsProvider(Provider):
    """The app's commands in their own order: looking first, what ends work last.

    Textual's provider sorts by name, which puts `Abort step` under the cursor.
    """

    def _commands(self) -> Iterator[SystemCommand]:
        yield from self.app.get_system_commands(self.screen)

    async def discover(self) -> Hits:
        """All commands, before anything is typed."""
        for command in sorted(self._commands(), key=lambda c: c.help.startswith(NOT_NOW)):
            yield DiscoveryHit(command.title, command.callback, help=command.help)

    async def search(self, query: str) -> Hits:
        """The commands that match what was typed, the best match first."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(command.title)
            if score > 0:
                if command.help.startswith(NOT_NOW):
                    score *= NOT_NOW_SCORE
                yield Hit(
                    score, matcher.highlight(command.title), command.callback, help=command.help
                )
