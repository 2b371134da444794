"""Turns an agent's reports into events: text, plan, its own tool calls, tokens and cost."""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Literal

from acp import schema

from avo_tui.domain.budget import Spend
from avo_tui.domain.events import Event, PlanSet, ToolCalled, ToolReturned, TroubleNoted
from avo_tui.domain.records import PlanItem
from avo_tui.domain.secrets import redact
from avo_tui.operators.agent.conversation.chunks import Chunker
from avo_tui.operators.agent.words import clean_text
from avo_tui.operators.ports import Workbench
from avo_tui.operators.toolbox import ALL_TOOLS

SERVER = "avo"
"""Name of the seat's MCP server, as given to the agent."""

MOST_KEPT = 500
"""Largest number of events that are kept while no step is open."""

_STATUS: dict[str, Literal["todo", "doing", "done"]] = {
    "pending": "todo",
    "in_progress": "doing",
    "completed": "done",
}
_TOOLS = "|".join(["begin_step", "wait", *(tool.name for tool in ALL_TOOLS)])
_OF_THE_SEAT = re.compile(
    rf"\W*(?:tool: *)?(?:mcp)?[\W_]*{SERVER}(?:\W|_)+(?:{_TOOLS})\W*", re.IGNORECASE
)
"""Titles by which agents call a tool of the seat: `mcp__avo__evaluate`, `avo_evaluate`, `avo -
evaluate (MCP)`, `Tool: avo/evaluate` and similar ones. The whole title must match, so that a shell
command cannot be mistaken for a tool of the seat."""
_NAMED_AFTER = re.compile(rf"(?:{_TOOLS}) \({SERVER} MCP Server\)")
"""How Gemini CLI titles them: `evaluate (avo MCP Server)`."""
_SUFFIX = re.compile(r"\s*\((?:mcp|avo)[^()]*\)\s*$", re.IGNORECASE)


def of_the_seat(title: str) -> bool:
    """Whether a tool call's title consists of the name of one of the seat's tools."""
    title = title.strip()
    if _NAMED_AFTER.fullmatch(title):
        return True
    return _OF_THE_SEAT.fullmatch(_SUFFIX.sub("", title)) is not None


class Panes:
    """Writes the agent's reports into the open step; keeps them while no step is open."""

    def __init__(self, name: str) -> None:
        """`name` is the agent's name on the screen."""
        self.name = name
        self.last_words = ""
        """The last part of the agent's text."""
        self._bench: Workbench | None = None
        self._kept: deque[Event] = deque(maxlen=MOST_KEPT)
        self._unspent = Spend()
        self._turn = 0
        self._block = 0
        self._kind: tuple[bool, str] | None = None
        self._chunks: Chunker | None = None
        self._own: dict[str, str] = {}
        """Unfinished calls of the agent's own tools: id → title."""
        self._tokens = Spend()
        self._usd = 0.0
        self._odd_currency = False

    # -- the step

    def open(self, bench: Workbench) -> None:
        """A step begins or continues; the events kept until now are written into it."""
        self._bench = bench
        while self._kept:
            bench.recording.record(self._kept.popleft())
        if self._unspent != Spend():
            bench.recording.spent(self._unspent)
            self._unspent = Spend()

    def close(self) -> None:
        """The step ends."""
        self.flush()
        self._bench = None

    def record(self, event: Event) -> None:
        """Write an event into the open step, or keep it for the next one."""
        if self._bench is None:
            self._kept.append(event)
        else:
            self._bench.recording.record(event)

    def trouble(self, text: str) -> None:
        """Record a problem that the person should know about."""
        self.record(TroubleNoted(where=self.name, message=redact(clean_text(text))[:1000]))

    def flush(self) -> None:
        """Write out the text that was held back until more arrives."""
        if self._chunks is not None:
            self._chunks.flush()

    # -- what the agent reports

    def begin_turn(self) -> None:
        """A prompt was sent to the agent; what follows is its answer."""
        self.flush()
        self._turn += 1
        self._chunks = None
        self._kind = None
        self.last_words = ""

    def update(self, update: Any) -> None:
        """Handle one notification of the agent; unknown kinds are ignored."""
        match update:
            case schema.AgentMessageChunk() | schema.AgentThoughtChunk():
                self._text(update)
            case schema.ToolCallStart() | schema.ToolCallProgress():
                self._tool(update)
            case schema.AgentPlanUpdate():
                self._plan(update.entries)
            case schema.UsageUpdate():
                self._cost(update.cost)
            case _:
                pass

    def _text(self, update: schema.AgentMessageChunk | schema.AgentThoughtChunk) -> None:
        if not isinstance(update.content, schema.TextContentBlock):
            return
        thinking = isinstance(update, schema.AgentThoughtChunk)
        if self._chunks is None:
            self._chunks = Chunker(self.record, f"acp{self._turn}", redact)
        kind = (thinking, update.message_id or "")
        if kind != self._kind:
            self._kind, self._block = kind, self._block + 1
        text = clean_text(update.content.text)
        self._chunks.text(self._block, text, thinking)
        if not thinking:
            self.last_words = (self.last_words + text)[-300:]

    def _plan(self, entries: list[schema.PlanEntry]) -> None:
        items = tuple(
            PlanItem(text=clean_text(e.content)[:300], status=_STATUS[e.status])
            for e in entries[:40]
        )
        self.flush()
        self.record(PlanSet(title=f"Plan of {self.name}", items=items))

    def _tool(self, update: schema.ToolCallStart | schema.ToolCallProgress) -> None:
        """Record a call of the agent's own tool; calls of the seat's tools are recorded
        elsewhere."""
        self._kind = None
        self.flush()
        name = update.tool_call_id
        if name not in self._own:
            title = " ".join(clean_text(update.title or "").split())
            if not title or of_the_seat(title):
                return
            self._own[name] = redact(title)[:200]
            arguments = {"kind": update.kind} if update.kind else {}
            self.record(
                ToolCalled(call=f"own-{name}"[:80], tool=self._own[name], arguments=arguments)
            )
        if update.status in {"completed", "failed"}:
            self.record(
                ToolReturned(
                    call=f"own-{name}"[:80],
                    tool=self._own.pop(name),
                    ok=update.status == "completed",
                    summary=redact(_summary(update.content)),
                )
            )

    # -- cost, as the agent reports it

    def _cost(self, cost: schema.Cost | None) -> None:
        """Record the increase of the agent's total cost as spend."""
        if cost is None:
            return
        if cost.currency.upper() != "USD":
            if not self._odd_currency:
                self._odd_currency = True
                self.trouble(f"it reports its cost in {cost.currency[:8]}; only USD is counted")
            return
        if 0 <= cost.amount < 1e6:
            self._spend(Spend(usd=max(0.0, cost.amount - self._usd)))
            self._usd = max(self._usd, cost.amount)

    def used(self, usage: schema.Usage | None) -> None:
        """Record the token counts reported at the end of a turn.

        The protocol defines them as totals of the agent's session. Counts that are smaller than the
        previous ones are taken as those of this turn alone.
        """
        if usage is None:
            return
        total = Spend(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens + (usage.thought_tokens or 0),
            cache_read_tokens=usage.cached_read_tokens or 0,
            cache_write_tokens=usage.cached_write_tokens or 0,
        )
        if total.tokens > 10**12:
            return
        before = self._tokens
        grown = (
            total.input_tokens - before.input_tokens,
            total.output_tokens - before.output_tokens,
            total.cache_read_tokens - before.cache_read_tokens,
            total.cache_write_tokens - before.cache_write_tokens,
        )
        if min(grown) < 0:
            self._spend(total)
        else:
            fresh, written, read, kept = grown
            self._spend(
                Spend(
                    input_tokens=fresh,
                    output_tokens=written,
                    cache_read_tokens=read,
                    cache_write_tokens=kept,
                )
            )
        self._tokens = total

    def restarted(self) -> None:
        """A new session of the agent begins, so its totals start at zero."""
        self._tokens, self._usd = Spend(), 0.0
        self._own.clear()

    def _spend(self, spend: Spend) -> None:
        if spend == Spend():
            return
        if self._bench is None:
            self._unspent += spend
        else:
            self._bench.recording.spent(spend)


def _summary(content: Any) -> str:
    """The first words of the result of one of the agent's own tools."""
    for part in content or ():
        if not isinstance(part, schema.ContentToolCallContent):
            continue
        if isinstance(part.content, schema.TextContentBlock):
            return " ".join(clean_text(part.content.text).split())[:300]
    return ""
