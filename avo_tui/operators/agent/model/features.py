"""Optional features of the Messages API: which are in use, which are suspended, when to retry.

An endpoint answers 400 if it does not know a feature, but also because of passing problems. So a
feature is only suspended, never given up: it is tried again after some answers, each time after a
longer interval. Losing the prompt cache for good would multiply the price of every later answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Feature = Literal[
    "structured output",
    "fallbacks",
    "context editing",
    "1h cache",
    "cache",
    "display",
    "effort",
    "thinking",
]

SIGNS: dict[Feature, tuple[str, ...]] = {
    "structured output": ("output_config.format", "output_format", "json_schema"),
    "fallbacks": ("fallback",),
    "context editing": ("context_management", "context-management", "clear_tool_uses"),
    "1h cache": ("ttl",),
    "cache": ("cache_control",),
    "display": ("display",),
    "effort": ("effort", "output_config"),
    "thinking": ("thinking", "adaptive", "budget_tokens"),
}
"""Words in an error message that identify a feature, the most specific feature first."""

BETAS: tuple[Feature, ...] = ("context editing", "fallbacks")
"""Features that are requested by a beta header."""

FIRST_TRIAL = 10
"""Number of answers after which a suspended feature is tried again; quadrupled each time."""
LONGEST_TRIAL = 640


@dataclass
class _Suspended:
    answers_left: int
    interval: int


@dataclass
class Features:
    """The state of the optional features of one endpoint."""

    in_use: set[Feature] = field(default_factory=set)
    _suspended: dict[Feature, _Suspended] = field(default_factory=dict)
    _intervals: dict[Feature, int] = field(default_factory=dict)
    """Feature suspended before → number of answers that its next suspension lasts."""

    def __contains__(self, feature: Feature) -> bool:
        return feature in self.in_use

    @property
    def suspended(self) -> tuple[Feature, ...]:
        """Features that are currently suspended, in a fixed order."""
        return tuple(f for f in SIGNS if f in self._suspended)

    def named(self, message: str) -> Feature | None:
        """The feature in use that an error message refers to; None if there is none."""
        words = message.lower()
        for feature, signs in SIGNS.items():
            if feature in self.in_use and any(sign in words for sign in signs):
                return feature
        if "beta" in words:
            return next((f for f in BETAS if f in self.in_use), None)
        return None

    def suspend(self, features: Iterable[Feature]) -> tuple[Feature, ...]:
        """Go without these, as far as they are in use, and without what depends on them."""
        wanted = set(features)
        if "thinking" in wanted:
            wanted.add("display")
        if "cache" in wanted:
            wanted.add("1h cache")
        gone = tuple(f for f in SIGNS if f in wanted and f in self.in_use)
        for feature in gone:
            interval = self._intervals.get(feature, FIRST_TRIAL)
            self._intervals[feature] = min(LONGEST_TRIAL, interval * 4)
            self._suspended[feature] = _Suspended(interval, interval)
            self.in_use.discard(feature)
        return gone

    def restore(self, features: Iterable[Feature]) -> None:
        """Use these features again, because suspending them did not help."""
        for feature in features:
            if self._suspended.pop(feature, None) is not None:
                self.in_use.add(feature)
                self._intervals.pop(feature, None)

    def answered(self) -> tuple[Feature, ...]:
        """Count an answer; returns the features that the next request tries again."""
        due = []
        for feature, state in list(self._suspended.items()):
            state.answers_left -= 1
            if state.answers_left <= 0:
                due.append(feature)
        if due:
            # One at a time, so that a rejection identifies the feature even if the message does
            # not.
            feature = next(f for f in reversed(SIGNS) if f in due)
            del self._suspended[feature]
            self.in_use.add(feature)
            return (feature,)
        return ()
