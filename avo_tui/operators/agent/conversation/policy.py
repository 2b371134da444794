"""When to clear old tool uses from a conversation, and when to summarise it: by what it costs.

Clearing frees tokens that every later request would carry, and changes the conversation from the
first cleared use on, so that all that follows is written to the prompt cache anew. Old tool uses
are therefore cleared in blocks: once carrying them has cost as much as the rewriting will. (This is
the ski-rental rule: whatever the length of the step, it pays at most twice what the best choice of
moments would have cost.) Between two clearings nothing before the last turn changes.

Where the rest, prose and pointers, has become most of the conversation, clearing no longer helps,
and a summary takes its place.
"""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.base import Value
from avo_tui.operators.agent.conversation.talk import Conversation
from avo_tui.operators.agent.model.prices import Price

LEAST_FREED = 0.06
"""Share of `clear_at` that a clearing frees at least, however cheap it is."""
LEAST_FREED_WHEN_FULL = 0.2
"""The same share where the conversation has reached `clear_at`: then it is cleared at any price."""
FULL_AFTER = 0.6
"""Share of `compact_at` above which the conversation is summarised, if clearing leaves as much."""


class ContextLimits(Value):
    """The settings that the policy goes by, in input tokens."""

    clear_at: int
    compact_at: int
    keep_results: int
    """Newest tool uses that are never cleared."""


class Decision(Value):
    """What to do before the next request."""

    action: Literal["nothing", "clear", "summarise"]
    calls: tuple[str, ...] = ()
    """Calls to clear."""


NOTHING = Decision(action="nothing")
SUMMARISE = Decision(action="summarise")


def decide(
    talk: Conversation, limits: ContextLimits, price: Price, *, refused: bool = False
) -> Decision:
    """What to do with the conversation before the next request.

    `price` is per token in units of an uncached input token. `refused`: the endpoint has said that
    the conversation does not fit, so something must go.
    """
    calls, last = clearable(talk, limits.keep_results)
    freed = freed_tokens(talk, set(calls))
    tokens = talk.tokens()
    clear = Decision(action="clear", calls=tuple(calls)) if calls else NOTHING
    if refused:
        return clear if freed > tokens * LEAST_FREED_WHEN_FULL else SUMMARISE
    if tokens >= limits.compact_at:
        enough = calls and tokens - freed <= limits.compact_at * FULL_AFTER
        return clear if enough else SUMMARISE
    if tokens >= limits.clear_at and freed >= limits.clear_at * LEAST_FREED_WHEN_FULL:
        return clear
    if freed >= limits.clear_at * LEAST_FREED and talk.rent >= rewriting(talk, last, freed, price):
        return clear
    return NOTHING


def carried(talk: Conversation, limits: ContextLimits, price: Price) -> float:
    """What one request pays for carrying the clearable tokens, in input tokens."""
    calls, _ = clearable(talk, limits.keep_results)
    return freed_tokens(talk, set(calls)) * price.cache_read


def rewriting(talk: Conversation, last: int, freed: int, price: Price) -> float:
    """What clearing up to the turn `last` costs: all after the clearing before is written anew."""
    stable = talk.anchors[-1] if talk.anchors else 0
    rewritten = max(0.0, talk.size_after(stable) / talk.ratio - freed)
    return rewritten * max(0.0, price.cache_write - price.cache_read)


def clearable(talk: Conversation, keep: int) -> tuple[list[str], int]:
    """(calls that may be cleared, index of the last turn among them).

    Whole turns, from the oldest on, as long as `keep` newer tool uses stay; -1 where there is none.
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
    """Tokens that clearing these calls would take out of the conversation."""
    characters = 0
    for _, turn in talk.turns():
        for call in turn.calls:
            if call.id in calls:
                characters += _saved(call.arguments) + _saved_text(call.answer or "")
    return int(characters / talk.ratio)


POINTER = 90
"""Characters of a pointer that stands for a cleared text."""


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
