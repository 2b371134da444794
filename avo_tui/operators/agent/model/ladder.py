"""What to do after the endpoint has called a request invalid (400): one remedy at a time.

Each rung costs more than the one before, so the cheap ones come first: ask again; go without the
one feature that the message names; leave out thinking; go without every optional feature; replace
the conversation by a summary of the records; end the step. A feature that was taken away without
helping is given back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from avo_tui.operators.agent.model.faults import Fault
from avo_tui.operators.agent.model.features import Feature, Features

Remedy = Literal["ask again", "without", "go on", "strip thinking", "plain", "summarise", "end"]

_CONVERSATION = ("messages.", "signature", "thinking block", "tool_use", "tool_result")
"""Words of a message that blame the conversation and not a parameter."""
_OPEN_END = ("prefill", "must end with a user", "final message must be", "last message must be")


@dataclass
class Ladder:
    """The remedies tried since the last answer."""

    features: Features
    words: str = ""
    """The last message, without its numbers: the same again means that the remedy was no help."""
    probed: tuple[Feature, ...] = ()
    innocent: set[Feature] = field(default_factory=set)
    tried: set[Remedy] = field(default_factory=set)

    @property
    def climbing(self) -> bool:
        """True once a remedy was tried for a request that was not answered since."""
        return bool(self.tried or self.innocent)

    def answered(self) -> None:
        """The endpoint took a request: begin anew. What is gone without stays so for a while."""
        self.words, self.probed = "", ()
        self.innocent.clear()
        self.tried.clear()

    def next(self, fault: Fault, *, thinks: bool, trial: tuple[Feature, ...]) -> Remedy:
        """The remedy to try. Suspends and restores features as it goes.

        `thinks`: there is thinking in the conversation. `trial`: features that this request used
        again for the first time after they had been suspended.
        """
        words = re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", fault.sentence.lower())
        if self.probed and words == self.words:
            self.features.restore(self.probed)
            self.innocent.update(self.probed)
        self.probed, self.words = (), words
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
        self.innocent.update(features)  # each is probed once in a series
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
