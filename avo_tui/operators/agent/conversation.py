"""One step's conversation: built from events, so that it is the same after an interruption.

What is recorded: the system prompt with the tools, each assistant message whole, each tool result,
and each piece of text that we add. The user turns in between are composed from these pieces, always
in the same way, so a request after a restart has the same prefix as the one before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from avo_tui.domain.base import ObjectId
from avo_tui.domain.events import (
    Event,
    HintDelivered,
    MessageRecorded,
    ToolCalled,
    ToolReturned,
    VersionCommitted,
)
from avo_tui.domain.records import Author
from avo_tui.operators.agent.model import Block, Reply
from avo_tui.operators.ports import StepOutcome

CHARACTERS_PER_TOKEN = 3.3
"""For source code and English; only used between two usages that the server counted."""

CLEARED = '[cleared to save context; read_result(call="{call}") shows it again]'


@dataclass
class Call:
    """One tool call of an assistant message, and its answer once it has one."""

    id: str
    name: str
    arguments: dict[str, Any]
    broken: str | None = None
    started: bool = False
    answer: str | None = None
    ok: bool = True
    cleared: bool = False

    def block(self) -> Block:
        """The answer as the API wants it."""
        text = CLEARED.format(call=self.id) if self.cleared else (self.answer or "(no output)")
        block: Block = {"type": "tool_result", "tool_use_id": self.id, "content": text}
        if not self.ok:
            block["is_error"] = True
        return block


@dataclass
class Text:
    """Text of ours to the agent: the opening, hints, nudges, a summary."""

    text: str
    purpose: str = ""


@dataclass
class Turn:
    """An assistant message with its calls."""

    content: list[Block]
    calls: list[Call]
    stop_reason: str = ""

    @property
    def pending(self) -> list[Call]:
        """Calls without an answer, in order."""
        return [call for call in self.calls if call.answer is None]


@dataclass
class Conversation:
    """The messages of one step."""

    system: list[Block] = field(default_factory=list)
    tools: list[Block] = field(default_factory=list)
    model: str = ""
    items: list[Text | Turn] = field(default_factory=list)
    answers: int = 0
    """Assistant messages so far, those compacted away included."""
    told: set[str] = field(default_factory=set)
    """Keys of the hints and interventions that the agent was told of."""
    hints_seen: list[str] = field(default_factory=list)
    """Hints that were delivered in this step, in order."""
    known_tokens: int = 0
    known_items: int = 0

    # -- building

    @classmethod
    def restore(
        cls,
        events: Sequence[Event],
        fetch: Callable[[ObjectId], bytes],
        shown: Callable[[str, str], str],
    ) -> Conversation:
        """The conversation as a step's events left it; empty for a fresh step.

        `shown` bounds a result's text, given the call's id, as it was when it was first answered.
        """
        talk = cls()
        calls: dict[str, Call] = {}
        for event in events:
            match event:
                case MessageRecorded():
                    talk._recorded(event, json.loads(fetch(event.ref)))
                    if event.role == "assistant":
                        calls.update((call.id, call) for call in talk.last_turn().calls)
                case ToolCalled() if event.call in calls:
                    calls[event.call].started = True
                case ToolReturned() if event.call in calls and event.ref is not None:
                    whole = fetch(event.ref).decode(errors="replace")
                    calls[event.call].answer = shown(whole, event.call)
                    calls[event.call].ok = event.ok
                case HintDelivered():
                    talk.hints_seen.append(event.hint)
                case _:
                    pass
        return talk

    def _recorded(self, event: MessageRecorded, body: dict[str, Any]) -> None:
        if event.role == "system":
            self.system, self.tools = body["system"], body["tools"]
            self.model = body.get("model", "")
        elif event.role == "user":
            self.say(body["text"], body.get("purpose", ""), body.get("told", ()))
        elif event.role == "assistant":
            self.answered(body)
        elif body.get("kind") == "cleared":
            self.clear(body["calls"], body["strip_thinking"])
        elif body.get("kind") == "compacted":
            self.compact(body["text"])

    def say(self, text: str, purpose: str = "", told: Sequence[str] = ()) -> None:
        """Add text of ours to the next user turn."""
        self.items.append(Text(text, purpose))
        self.told.update(told)

    def answered(self, body: dict[str, Any]) -> Turn:
        """Add an assistant message, as `message_body` wrote it."""
        broken = body.get("broken", {})
        calls = [
            Call(b["id"], b["name"], b["input"], broken.get(b["id"]))
            for b in body["content"]
            if b["type"] == "tool_use"
        ]
        turn = Turn(body["content"], calls, body.get("stop_reason", ""))
        self.items.append(turn)
        self.answers += 1
        return turn

    def last_turn(self) -> Turn:
        """The newest assistant message. Raises LookupError without one."""
        for item in reversed(self.items):
            if isinstance(item, Turn):
                return item
        raise LookupError("no assistant message")

    def pending(self) -> list[Call]:
        """Calls that wait for an answer."""
        return [c for item in self.items if isinstance(item, Turn) for c in item.pending]

    def call_ids(self) -> set[str]:
        """Ids used so far."""
        return {c.id for item in self.items if isinstance(item, Turn) for c in item.calls}

    # -- sending

    def messages(self, cache: bool = True) -> list[Block]:
        """The messages of a request. Every call must have its answer; raises ValueError else."""
        result: list[Block] = []
        user: list[Block] = []

        def flush() -> None:
            if user:
                result.append({"role": "user", "content": list(user)})
                user.clear()

        for item in self.items:
            if isinstance(item, Text):
                user.append({"type": "text", "text": item.text})
                continue
            if item.pending:
                raise ValueError(f"call {item.pending[0].id} has no answer")
            flush()
            result.append({"role": "assistant", "content": item.content})
            user.extend(call.block() for call in item.calls)
        flush()
        if cache:
            _mark(result)
        return result

    # -- keeping it in bounds

    def counted(self, tokens: int) -> None:
        """The server counted this many tokens up to and including the last answer."""
        self.known_tokens, self.known_items = tokens, len(self.items)

    def tokens(self) -> int:
        """Tokens of the next request, as near as we know."""
        if self.known_items and self.known_items <= len(self.items):
            last = self.items[self.known_items - 1]
            fresh = [c.block() for c in last.calls] if isinstance(last, Turn) else []
            rest = _size(fresh) + sum(_item_size(i) for i in self.items[self.known_items :])
            return self.known_tokens + int(rest / CHARACTERS_PER_TOKEN)
        whole = _size(self.system) + _size(self.tools) + sum(_item_size(i) for i in self.items)
        return int(whole / CHARACTERS_PER_TOKEN)

    def clearable(self, keep: int) -> list[str]:
        """Calls whose answers may be cleared: long ones, but not the newest `keep`."""
        calls = [c for item in self.items if isinstance(item, Turn) for c in item.calls]
        old = calls[:-keep] if keep < len(calls) else []
        return [c.id for c in old if not c.cleared and c.answer and len(c.answer) > 200]

    def clear(self, calls: Sequence[str], strip_thinking: bool) -> None:
        """Clear the answers of these calls.

        Thinking blocks are signed over what precedes them, so once that is changed they go too,
        unless the model's mode needs them.
        """
        wanted = set(calls)
        for item in self.items:
            if not isinstance(item, Turn):
                continue
            for call in item.calls:
                call.cleared = call.cleared or call.id in wanted
            if strip_thinking:
                kept = [b for b in item.content if b["type"] not in _THINKING]
                item.content = kept or [{"type": "text", "text": "(thinking only)"}]
        self.known_tokens = self.known_items = 0

    def compact(self, text: str) -> None:
        """Replace everything after the opening by `text`."""
        self.items = [*self.items[:1], Text(text, "summary")]
        self.known_tokens = self.known_items = 0


_THINKING = {"thinking", "redacted_thinking"}


def outcome_on_record(events: Sequence[Event], author: Author) -> StepOutcome | None:
    """The outcome of a step that had come to its end before its engine did; None otherwise."""
    reasons: dict[str, str] = {}
    for event in events:
        match event:
            case VersionCommitted() if event.version.author == author:
                return StepOutcome(outcome="committed", reason=event.version.gate.reason)
            case ToolCalled() if event.tool == "end_step":
                reasons[event.call] = str(event.arguments.get("reason", ""))
            case ToolReturned() if event.tool == "end_step" and event.ok:
                return StepOutcome(outcome="nothing", reason=reasons.get(event.call, ""))
            case _:
                pass
    return None


def message_body(reply: Reply, used: set[str]) -> dict[str, Any]:
    """What is recorded of an answer. Call ids are made unique within the step."""
    broken = dict(reply.broken)
    content: list[Block] = []
    for block in reply.content:
        if block["type"] == "tool_use":
            identity = str(block.get("id") or "call")
            fresh, number = identity, 1
            while fresh in used:
                number += 1
                fresh = f"{identity}-{number}"
            used.add(fresh)
            if identity in broken:
                broken[fresh] = broken[identity] if fresh == identity else broken.pop(identity)
            block = {**block, "id": fresh, "name": str(block.get("name", ""))}
        content.append(block)
    return {
        "content": content,
        "stop_reason": reply.stop_reason,
        "usage": reply.usage,
        "model": reply.model,
        "id": reply.id,
        "broken": broken,
    }


def _mark(messages: list[Block]) -> None:
    """Cache marks: after the opening, and at the end of the last two user turns."""
    users = [m for m in messages if m["role"] == "user"]
    for message in {id(m): m for m in (*users[:1], *users[-2:])}.values():
        message["content"][-1] = {
            **message["content"][-1],
            "cache_control": {"type": "ephemeral"},
        }


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


def _item_size(item: Text | Turn) -> int:
    if isinstance(item, Text):
        return len(item.text)
    return _size(item.content) + _size([c.block() for c in item.calls])
