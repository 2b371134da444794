"""What an endpoint takes of the Messages API, learned from what it refuses, one remedy at a time.

An endpoint answers 400 if it does not know an optional feature, but also because of passing
problems. So a feature that is refused is left out and tried again later: losing the prompt cache
for good would multiply the price of every later answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Feature = Literal[
    "structured output",
    "fallbacks",
    "context editing",
    "1h cache",
    "cache",
    "system messages",
    "strict tools",
    "cache diagnostics",
    "block binding",
    "display",
    "budget",
    "effort",
    "thinking",
    "earlier thinking",
]

SIGNS: dict[Feature, tuple[str, ...]] = {
    "structured output": ("output_config.format", "output_format", "json_schema"),
    "fallbacks": ("fallback",),
    "context editing": ("context_management", "context-management", "clear_tool_uses"),
    "1h cache": ("ttl",),
    "cache": ("cache_control",),
    "system messages": ("role 'system'", 'role "system"', "system role", ".role"),
    "strict tools": ("strict tool", ".strict", "grammar", "too complex for compilation"),
    "cache diagnostics": ("diagnostics",),
    "block binding": ("block_binding", "thinking-binding"),
    "display": ("display",),
    "budget": ("budget_tokens", "thinking.type", "enabled"),
    "effort": ("effort", "output_config"),
    "thinking": ("thinking", "adaptive"),
    "earlier thinking": (),
}
"""Words in an error message that identify a feature, the most specific feature first. `budget`:
thinking in the form that newer models refuse; `earlier thinking`: that of answers sent back;
`system messages`: words of the person in messages of their own; `strict tools`: arguments that the
server holds to their schema; `cache diagnostics`: why the prompt cache was missed; `block binding`:
the server drops thinking whose conversation was changed, instead of refusing it."""

BETAS: tuple[Feature, ...] = ("context editing", "fallbacks")
"""Features that are requested by a beta header."""
NEEDS: dict[Feature, tuple[Feature, ...]] = {
    "thinking": ("display", "budget", "block binding"),
    "cache": ("1h cache",),
}
"""Feature → features that mean nothing without it."""

SOON, LATE = 10, 1000
"""Answers after which a refused feature is tried again: the first time, and once it was refused
again."""


@dataclass
class Features:
    """The optional features of one endpoint."""

    in_use: set[Feature] = field(default_factory=set)
    _left: dict[Feature, float] = field(default_factory=dict)
    """Feature left out → answers until it is tried again."""
    _refused: set[Feature] = field(default_factory=set)
    """Features that were not accepted since they were refused."""

    def __contains__(self, feature: Feature) -> bool:
        return feature in self.in_use

    @property
    def suspended(self) -> tuple[Feature, ...]:
        """Features that are left out, in a fixed order."""
        return tuple(f for f in SIGNS if f in self._left)

    def named(self, message: str) -> Feature | None:
        """The feature in use that an error message refers to; None if there is none."""
        words = message.lower()
        for feature, signs in SIGNS.items():
            if feature in self.in_use and any(sign in words for sign in signs):
                return feature
        if "beta" in words:
            return next((f for f in BETAS if f in self.in_use), None)
        return None

    def forgo(self, features: Iterable[Feature]) -> None:
        """Do without these for good, because the model has them not."""
        self.in_use -= {g for f in features for g in (f, *NEEDS.get(f, ()))}

    def suspend(self, features: Iterable[Feature]) -> tuple[Feature, ...]:
        """Go without these, as far as they are in use, and without what depends on them."""
        wanted = {g for f in features for g in (f, *NEEDS.get(f, ()))}
        gone = tuple(f for f in SIGNS if f in wanted & self.in_use)
        for feature in gone:
            self._left[feature] = LATE if feature in self._refused else SOON
        if "earlier thinking" in gone:  # a server that refuses what it wrote itself always does
            self._left["earlier thinking"] = math.inf
        self._refused.update(gone)
        self.in_use.difference_update(gone)
        return gone

    def restore(self, features: Iterable[Feature]) -> None:
        """Use these again, because going without them did not help."""
        for feature in features:
            if self._left.pop(feature, None) is not None:
                self.in_use.add(feature)
                self._refused.discard(feature)

    def answered(self) -> tuple[Feature, ...]:
        """Count an answer; returns the features that the next request tries again."""
        self._refused -= self.in_use
        self._left = {feature: left - 1 for feature, left in self._left.items()}
        due = tuple(f for f in self.suspended if self._left[f] <= 0)
        for feature in due:
            del self._left[feature]
            self.in_use.add(feature)
        return due


Remedy = Literal["ask again", "without", "go on", "strip thinking", "summarise", "end"]

_CONVERSATION = ("messages.", "signature", "thinking block", "tool_use", "tool_result")
"""Words in an error message that point to the conversation rather than a parameter."""
_OPEN_END = ("prefill", "must end with a user", "final message must be", "last message must be")


@dataclass
class Remedies:
    """What was tried against the 400s since the last answer: each remedy once, the cheap ones
    first. A feature that was left out in vain is used again."""

    features: Features
    words: str = ""
    """The last error message, without its numbers; if it comes again, the remedy did not help."""
    probed: tuple[Feature, ...] = ()
    tried: set[str] = field(default_factory=set)

    def answered(self) -> None:
        """Begin anew, because the endpoint accepted a request."""
        self.words, self.probed = "", ()
        self.tried.clear()

    def next(self, message: str, *, thinks: bool) -> Remedy:
        """The remedy to try. `thinks`: the conversation contains thinking."""
        words = re.sub(r"(?<![0-9a-f])[0-9a-f]*\d[0-9a-f]*", "#", message.lower())
        if words == self.words:
            self.features.restore(self.probed)
        self.probed, self.words = (), words
        of_talk = any(s in words for s in _CONVERSATION) and "cache_control" not in words
        if any(sign in words for sign in _OPEN_END) and self._first("go on"):
            return "go on"
        named = self.features.named(message)
        if named is not None and (named == "system messages" or not of_talk) and self._first(named):
            return self._without(named)
        if not of_talk and self._first("ask again"):
            return "ask again"
        if thinks and self._first("strip thinking"):
            return "strip thinking"
        rest = [f for f in SIGNS if f in self.features and SIGNS[f]]
        for feature in () if of_talk else rest:
            if self._first(feature):
                return self._without(feature)
        if rest and self._first("all of them"):
            return self._without(*rest)
        return "summarise" if self._first("summarise") else "end"

    def _without(self, *features: Feature) -> Remedy:
        self.probed = self.features.suspend(features)
        return "without"

    def _first(self, remedy: str) -> bool:
        first = remedy not in self.tried
        self.tried.add(remedy)
        return first
