"""Turns a stream of text pieces into events of about half a second each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from avo_tui.domain.events import AgentText

INTERVAL = 0.5
"""Default seconds of text in one event."""

_UNFINISHED = re.compile(r"(?<![!-~])[!-~]{1,2000}\Z")
"""The last word of a text, which the next piece may continue. It is held back because it may be
part of a secret: keys are printable ASCII and are replaced only as a whole. A longer run of such
characters is no key."""


class Chunker:
    """Receives one streamed answer; holds nothing back longer than the interval but the last
    word."""

    def __init__(
        self,
        record: Callable[[AgentText], None],
        name: str,
        redact: Callable[[str], str],
        interval: float = INTERVAL,
        begun: Callable[[Mapping[str, Any]], None] = lambda usage: None,
    ) -> None:
        """`name` makes the ids of this answer's text blocks unique within the step. `begun` is
        called with the first usage."""
        self._begun = begun
        self._record = record
        self._name = name
        self._redact = redact
        self._interval = interval
        self._pieces: list[str] = []
        self._open: tuple[int, bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.last_usage: dict[str, Any] = {}
        self.characters = 0
        """Characters streamed so far, including tool arguments; used to estimate a missing
        usage."""

    def text(self, block: int, text: str, thinking: bool) -> None:
        """Take a piece of text; if it belongs to another block, the held text is recorded first."""
        if not text:
            return
        if self._open is not None and self._open != (block, thinking):
            self.flush()
        self._open = (block, thinking)
        self._pieces.append(text)
        self.characters += len(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick)

    def arguments(self, characters: int) -> None:
        """Count a piece of a tool call's arguments, which the screen does not show."""
        self.characters += characters

    def end(self, block: int) -> None:
        self.flush()

    def usage(self, usage: Mapping[str, Any]) -> None:
        first = not self.last_usage
        self.last_usage = dict(usage)
        if first:
            self._begun(self.last_usage)

    def _tick(self) -> None:
        """Record the text of the interval, except for a last word that may be part of a secret."""
        self._timer = None
        text = "".join(self._pieces)
        word = _UNFINISHED.search(text)
        cut = word.start() if word is not None else len(text)
        if self._open is not None and cut > 0:
            self._write(self._open, text[:cut])
        self._pieces = [text[cut:]] if cut < len(text) else []

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._open is None or not self._pieces:
            return
        text = "".join(self._pieces)
        self._pieces.clear()
        self._write(self._open, text)
        self._open = None

    def _write(self, of: tuple[int, bool], text: str) -> None:
        block, thinking = of
        self._record(
            AgentText(block=f"{self._name}.{block}", text=self._redact(text), thinking=thinking)
        )
