"""Decides by cost when to clear old tool uses from a conversation, and when to summarise it.

Clearing saves tokens in every later request, but it changes the conversation from the first cleared
tool use on, so everything after that has to be written to the prompt cache again. Old tool uses are
therefore cleared in blocks, as soon as carrying them has cost as much as the rewriting will. (This
is the ski-rental rule: however long the step becomes, it pays at most twice the cost of the best
choice of moments.) Between two clearings, nothing before the last turn changes. When text that
cannot be cleared makes up most of the conversation, clearing no longer helps, and the conversation
is replaced by a summary.
"""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.base import Value
from avo_tui.operators.agent.conversation.turns import Conversation
from avo_tui.operators.agent.model.prices import Price

LEAST_FREED = 0.06
"""Smallest fraction of `clear_at` that a clearing must free, however cheap it is."""
LEAST_FREED_WHEN_FULL = 0.2
"""The same fraction once the conversation has reached `clear_at`; then the cost is ignored."""
FULL_AFTER = 0.6
"""Fraction of `compact_at`: if more than this would remain after clearing, the conversation is
summarised."""


class ContextLimits(Value):
    """The settings that the policy uses, in input tokens."""

    clear_at: int
    compact_at: int
    keep_results: int
    """Number of newest tool uses that are never cleared."""


class Decision(Value):
    """What to do before the next request."""

    action: Literal["nothing", "clear", "summarise"]
    calls: tuple[str, ...] = ()
    """Ids of the tool calls to clear."""


NOTHING = Decision(action="nothing")
SUMMARISE = Decision(action="summarise")


def decide(
    talk: Conversation, limits: ContextLimits, price: Price, *, refused: bool = False
) -> Decision:
    """What to do with the conversation before the next request.

    `price` gives prices per token, relative to an uncached input token. `refused` means that the
    endpoint rejected the conversation as too long, so something must be removed.
    """
    calls, last = clearable(talk, limits.keep_results)
    freed = freed_tokens(talk, set(calls))
    tokens = talk.tokens()
    clear = Decision(action="clear", calls=tuple(calls)) if calls else NOTHING
    if refused:
        return clear if freed > tokens * LEAST_FREED_WHEN_FULL else SUMMARISE
    if tokens >= limits.compact_at:
        if calls and tokens - freed <= limits.compact_at * FULL_AFTER:
            return clear
        rest = talk.size_after(0) / talk.ratio if talk.grown else 0.0
        if rest >= limits.compact_at * LEAST_FREED_WHEN_FULL:
            return SUMMARISE  # else opening and summary fill it, and another would free nothing
    if tokens >= limits.clear_at and freed >= limits.clear_at * LEAST_FREED_WHEN_FULL:
        return clear
    if freed >= limits.clear_at * LEAST_FREED and talk.rent >= rewriting(talk, last, freed, price):
        return clear
    return NOTHING


def carried(talk: Conversation, limits: ContextLimits, price: Price) -> float:
    """Cost of including the clearable tokens in one request, in units of uncached input tokens."""
    calls, _ = clearable(talk, limits.keep_results)
    return freed_tokens(talk, set(calls)) * price.cache_read


def rewriting(talk: Conversation, last: int, freed: int, price: Price) -> float:
    """Cost of clearing up to the turn `last`, because all later text is written to the cache
    again."""
    stable = talk.anchors[-1] if talk.anchors else 0
    rewritten = max(0.0, talk.size_after(stable) / talk.ratio - freed)
    return rewritten * max(0.0, price.cache_write - price.cache_read)


def clearable(talk: Conversation, keep: int) -> tuple[list[str], int]:
    """(calls that may be cleared, index of the last turn among them, -1 if there is none).

    Whole turns from the oldest on, as long as at least `keep` newer tool uses remain.
    """
    turns = list(talk.turns())
    total = sum(len(turn.calls) for _, turn in turns)
    calls: list[str] = []
    last, before = -1, 0
    for index, turn in turns:
        before += len(turn.calls)
        if total - before < keep:
            break
        fresh = [c.id for c in turn.calls if not c.cleared and c.answer is not None]
        if fresh:
            calls.extend(fresh)
            last = index
    return calls, last


def freed_tokens(talk: Conversation, calls: set[str]) -> int:
    """Number of tokens that clearing these calls would remove from the conversation."""
    characters = 0
    for _, turn in talk.turns():
        for call in turn.calls:
            if call.id in calls:
                characters += _saved(call.arguments) + _saved_text(call.answer or "")
    return int(characters / talk.ratio)


POINTER = 90
"""Typical number of characters of the pointer that replaces a cleared text."""


def _saved(value: object) -> int:
    if isinstance(value, str):
        return _saved_text(value)
    if isinstance(value, dict):
        return sum(_saved(v) for v in value.values())
    if isinstance(value, list):
        return sum(_saved(v) for v in value)
    return 0


def _saved_text(text: str) -> int:
    return max(0, len(text) - POINTER) if len(text) > 300 else 0
