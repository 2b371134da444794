"""Counts answers of the model that bring nothing new.

A model can go on for hundreds of requests with calls that fail, such as of a tool that does not
exist, or by reading the same file again and again. Each answer has a call, so none looks idle.
"""

from __future__ import annotations

import hashlib
import json

from avo_tui.operators.agent.conversation.turns import Call, Conversation, Turn


class Repeats:
    """The number of answers in a row whose calls all failed or were repeated, and the number of
    failures in a row of each tool, whatever else succeeded in between."""

    def __init__(self, talk: Conversation) -> None:
        """Counts what the conversation contains already, as after an interruption."""
        self.count = 0
        self._seen: set[str] = set()
        self._failed: dict[str, int] = {}
        for _, turn in talk.turns():
            if turn.calls and not turn.pending:
                self.add(turn)

    def add(self, turn: Turn) -> int:
        """Count an answer whose calls all have a result; returns how many in a row were in vain."""
        new = [key for call in turn.calls if call.ok and (key := _key(call)) not in self._seen]
        self._seen.update(new)
        self.count = 0 if new else self.count + 1
        for call in turn.calls:
            self._failed[call.name] = 0 if call.ok else self._failed.get(call.name, 0) + 1
        return self.count

    def failing(self) -> tuple[str, int]:
        """(tool that failed most often in a row, how often); ("", 0) if none did."""
        return max(self._failed.items(), key=lambda item: item[1], default=("", 0))

    def forgive(self) -> None:
        """Begin to count anew, as after words of the person."""
        self.count = 0
        self._failed.clear()


def _key(call: Call) -> str:
    text = json.dumps([call.name, call.arguments, call.answer], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
