"""Chooses a remedy when the endpoint rejects a request as invalid (400), one at a time.

Each remedy costs more than the one before it: repeat the request; suspend the feature that the
message names; remove thinking; suspend all optional features; replace the conversation by a summary
of the records; end the step. A feature whose suspension did not help is used again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from avo_tui.operators.agent.model.faults import Fault
from avo_tui.operators.agent.model.features import Feature, Features

Remedy = Literal["ask again", "without", "go on", "strip thinking", "plain", "summarise", "end"]

_CONVERSATION = ("messages.", "signature", "thinking block", "tool_use", "tool_result")
"""Words in an error message that point to the conversation rather than a parameter."""
_OF_INVALID: tuple[Remedy, ...] = ("summarise", "end")
"""Remedies for a conversation that was found to be invalid before it was sent."""
_OPEN_END = ("prefill", "must end with a user", "final message must be", "last message must be")


@dataclass
class Remedies:
    """The remedies tried since the last answer."""

    features: Features
    words: str = ""
    """The last error message, without its numbers; if it comes again, the remedy did not help."""
    probed: tuple[Feature, ...] = ()
    innocent: set[Feature] = field(default_factory=set)
    tried: set[Remedy] = field(default_factory=set)

    def answered(self) -> None:
        """Reset, because the endpoint accepted a request. Suspended features stay suspended for
        now."""
        self.words, self.probed = "", ()
        self.innocent.clear()
        self.tried.clear()

    def next(self, fault: Fault, *, thinks: bool, trial: tuple[Feature, ...]) -> Remedy:
        """The remedy to try; suspends and restores features accordingly.

        `thinks`: the conversation contains thinking. `trial`: features that this request used for
        the first time after their suspension.
        """
        words = re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", fault.sentence.lower())
        if self.probed and words == self.words:
            self.features.restore(self.probed)
            self.innocent.update(self.probed)
        self.probed, self.words = (), words
        if fault.kind == "invalid":  # no feature has anything to do with it
            return next(r for r in _OF_INVALID if r == "end" or self._first(r))
        if trial and trial[0] not in self.innocent:
            return self._without(trial)
        if any(sign in words for sign in _OPEN_END) and self._first("go on"):
            return "go on"
        named = None if self._blames_conversation(words) else self.features.named(fault.sentence)
        if named is not None and named not in self.innocent:
            return self._without((named,))
        if not self._blames_conversation(words) and self._first("ask again"):
            return "ask again"
        if thinks and self._first("strip thinking"):
            return "strip thinking"
        if self._first("plain"):
            rest = [f for f in self.features.in_use if f not in self.innocent]
            if rest:
                self.probed = self.features.suspend(rest)
                return "plain"
        if self._first("summarise"):
            return "summarise"
        return "end"

    def _without(self, features: tuple[Feature, ...]) -> Remedy:
        self.innocent.update(features)  # each is tried once in a series of errors
        self.probed = self.features.suspend(features)
        return "without"

    def _first(self, remedy: Remedy) -> bool:
        if remedy in self.tried:
            return False
        self.tried.add(remedy)
        return True

    @staticmethod
    def _blames_conversation(words: str) -> bool:
        return any(sign in words for sign in _CONVERSATION) and "cache_control" not in words
