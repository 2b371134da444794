"""The conversation of one step, rebuilt from events so that it is identical after an interruption.

The events record the system prompt with the tools, each assistant message in full, each tool
result, and each text that this program adds. User turns are always composed from these pieces in
the same way, so that a request after a restart has the same prefix as the one before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
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
from avo_tui.operators.agent.conversation.heal import THINKING, Healed
from avo_tui.operators.agent.model.port import Block, Reply
from avo_tui.operators.ports import StepOutcome
from avo_tui.operators.toolbox.placeholder import cleared_input, cleared_result

CHARACTERS_PER_TOKEN = 3.3
"""Estimate for source code and English, used until the server has counted a request."""

HOUR = {"type": "ephemeral", "ttl": "1h"}
SHORT = {"type": "ephemeral"}
"""Cache marks that last an hour and five minutes."""

OF_THE_PERSON = frozenset({"hint", "supervision"})
"""Purposes of the texts that may be sent as messages of the role `system`."""


@dataclass
class Call:
    """One tool call of an assistant message, with its answer if there is one."""

    id: str
    name: str
    arguments: dict[str, Any]
    broken: str | None = None
    started: bool = False
    answer: str | None = None
    ok: bool = True
    cleared: bool = False

    def block(self, stubs: bool = True) -> Block:
        """The answer in the form of the API; with `stubs`, a cleared answer becomes a short
        pointer."""
        text = self.answer or "(no output)"
        if self.cleared and stubs:
            text = cleared_result(self.id, text)
        block: Block = {"type": "tool_result", "tool_use_id": self.id, "content": text}
        if not self.ok:
            block["is_error"] = True
        return block


@dataclass
class Text:
    """Text from this program to the agent: the opening, hints, nudges or a summary."""

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
        return [call for call in self.calls if call.answer is None]

    def blocks(self, stubs: bool = True) -> list[Block]:
        """The message's content; with `stubs`, long arguments of cleared calls are pointers."""
        cleared = {call.id for call in self.calls if call.cleared}
        if not stubs or not cleared:
            return self.content
        return [
            {**b, "input": cleared_input(b["input"])}
            if b["type"] == "tool_use" and b["id"] in cleared
            else b
            for b in self.content
        ]


@dataclass
class Conversation:
    """The messages of one step."""

    system: list[Block] = field(default_factory=list)
    tools: list[Block] = field(default_factory=list)
    model: str = ""
    items: list[Text | Turn] = field(default_factory=list)
    answers: int = 0
    """Number of assistant messages so far, including those replaced by a summary."""
    told: set[str] = field(default_factory=set)
    """Keys of the hints and interventions that the agent has been told."""
    hints_seen: list[str] = field(default_factory=list)
    """Hints that were delivered in this step, in order."""
    last_id: str = ""
    """The server's id of the last answer; empty once what was sent before it has changed."""
    used_ids: set[str] = field(default_factory=set)
    """Ids of all tool calls of this step, including those replaced by a summary."""
    anchors: list[int] = field(default_factory=list)
    """For each clearing, the index of the last turn it reached; nothing before it changes any
    more."""
    stubbed: bool = False
    """True once something was cleared locally; clearing by the server would then restore it."""
    rent: float = 0.0
    """Cost so far of carrying the clearable tokens since the last clearing, in input tokens."""
    known_tokens: int = 0
    known_items: int = 0
    ratio: float = CHARACTERS_PER_TOKEN
    """Characters per token, according to the server's last count."""
    _cleared_answers: int = -1

    # -- building

    @classmethod
    def restore(
        cls,
        events: Sequence[Event],
        fetch: Callable[[ObjectId], bytes],
        shown: Callable[[str, str], str],
    ) -> Conversation:
        """The conversation according to a step's events; empty for a new step.

        `shown` shortens the text of a result, given its call's id, exactly as when it was first
        sent.
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
            self.clear(body["calls"], body["strip_thinking"], body.get("by_server", False))
            self.model = body.get("model") or self.model
        elif body.get("kind") == "compacted":
            self.compact(body["text"])

    def say(self, text: str, purpose: str = "", told: Sequence[str] = ()) -> None:
        """Add a text from this program to the next user turn."""
        self.items.append(Text(text, purpose))
        self.told.update(told)

    def answered(self, body: dict[str, Any]) -> Turn:
        """Add an assistant message, in the form that `message_body` returns."""
        broken = body.get("broken", {})
        calls = [
            Call(b["id"], b["name"], b["input"], broken.get(b["id"]))
            for b in body["content"]
            if b["type"] == "tool_use"
        ]
        turn = Turn(body["content"], calls, body.get("stop_reason", ""))
        self.items.append(turn)
        self.used_ids.update(call.id for call in calls)
        self.last_id = body.get("id", "")
        self.answers += 1
        return turn

    def last_turn(self) -> Turn:
        """The newest assistant message. Raises LookupError without one."""
        for item in reversed(self.items):
            if isinstance(item, Turn):
                return item
        raise LookupError("no assistant message")

    def pending(self) -> list[Call]:
        return [c for _, turn in self.turns() for c in turn.pending]

    def turns(self) -> Iterator[tuple[int, Turn]]:
        """(index among the items, turn) of every assistant message."""
        for index, item in enumerate(self.items):
            if isinstance(item, Turn):
                yield index, item

    @property
    def paused(self) -> bool:
        """Whether the last message is the assistant's and has to be sent back unchanged."""
        return bool(self.items) and isinstance(self.items[-1], Turn) and not self.items[-1].calls

    @property
    def grown(self) -> bool:
        """Whether it holds more than its opening and a summary, so that it can be made shorter."""
        return any(isinstance(item, Turn) for item in self.items)

    @property
    def thinks(self) -> bool:
        return any(b["type"] in THINKING for _, turn in self.turns() for b in turn.content)

    # -- sending

    def messages(
        self,
        marks: bool = True,
        *,
        stubs: bool = True,
        long: bool = False,
        apart: bool = False,
    ) -> list[Block]:
        """The messages of a request. Raises ValueError if a tool call has no answer.

        `stubs`: cleared tool uses are replaced by pointers; False if the server clears them.
        `long`: all cache marks last an hour, for steps whose tools take longer than five minutes.
        `apart`: words of the person and the supervisor are messages of the role `system`, which no
        tool's result can forge. The API takes one behind a user turn, before the next answer.
        """
        result: list[Block] = []
        user: list[Block] = []
        orders: list[Block] = []
        after: dict[int, int] = {}

        def flush() -> None:
            for role, blocks in (("user", user or orders), ("system", orders)):
                if blocks:
                    result.append({"role": role, "content": list(blocks)})
                    blocks.clear()
            user.clear()

        for index, item in enumerate(self.items):
            if isinstance(item, Text):
                to = orders if apart and item.purpose in OF_THE_PERSON else user
                to.append({"type": "text", "text": item.text})
                continue
            if item.pending:
                raise ValueError(f"call {item.pending[0].id} has no answer")
            flush()
            if result and result[-1]["role"] == "assistant":  # goes on after a pause
                result[-1]["content"] = [*result[-1]["content"], *item.blocks(stubs)]
            else:
                result.append({"role": "assistant", "content": item.blocks(stubs)})
            after[index] = len(result)
            user.extend(call.block(stubs) for call in item.calls)
        flush()
        if marks:
            anchors = [after[a] for a in self.anchors if after.get(a, len(result)) < len(result)]
            fresh = self._cleared_answers == self.answers
            _mark(result, anchors, fresh, long)
        return result

    @property
    def kept_uses(self) -> int:
        """Number of tool uses after the last clearing, which a clearing server is told to keep."""
        return sum(not c.cleared for _, turn in self.turns() for c in turn.calls)

    # -- keeping the conversation within its limits

    def counted(self, tokens: int) -> None:
        """Record the server's count of tokens up to and including the last answer."""
        self.known_tokens, self.known_items = tokens, len(self.items)
        size = self._size_up_to(len(self.items))
        if tokens > 500:
            self.ratio = min(6.0, max(1.5, size / tokens))

    def tokens(self) -> int:
        if self.known_items and self.known_items <= len(self.items):
            last = self.items[self.known_items - 1]
            fresh = [c.block() for c in last.calls] if isinstance(last, Turn) else []
            rest = _size(fresh) + sum(_item_size(i) for i in self.items[self.known_items :])
            return self.known_tokens + int(rest / self.ratio)
        whole = self._size_up_to(len(self.items))
        last_item = self.items[-1] if self.items else None
        if isinstance(last_item, Turn):
            whole += _size([c.block() for c in last_item.calls])
        return int(whole / self.ratio)

    def _size_up_to(self, count: int) -> int:
        """Characters of all items before `count`, without the tool results of the last turn."""
        size = _size(self.system) + _size(self.tools)
        size += sum(_item_size(i) for i in self.items[:count])
        last = self.items[count - 1] if count else None
        if isinstance(last, Turn):
            size -= _size([c.block() for c in last.calls])
        return size

    def size_after(self, place: int) -> int:
        """Characters of the items after this index, with cleared ones counted as pointers."""
        return sum(_item_size(i) for i in self.items[place + 1 :])

    def clear(self, calls: Sequence[str], strip_thinking: bool, by_server: bool = False) -> None:
        """Clear the arguments and answers of these calls.

        Thinking blocks are signed together with the text before them, so they are removed as well
        once that text changes, unless the model requires them or the server does the clearing.
        """
        wanted = set(calls)
        reached = -1
        for index, turn in self.turns():
            for call in turn.calls:
                if call.id in wanted and not call.cleared:
                    call.cleared = True
                    reached = index
            if strip_thinking:
                kept = [b for b in turn.content if b["type"] not in THINKING]
                turn.content = kept or [{"type": "text", "text": "(thinking only)"}]
        if reached >= 0:
            self.anchors.append(reached)
        touched = any(call.cleared for _, turn in self.turns() for call in turn.calls)
        self.stubbed = self.stubbed or (touched and not by_server)
        self._cleared_answers = self.answers
        self.last_id = ""
        self.known_tokens = self.known_items = 0
        self.rent = 0.0

    def compact(self, text: str) -> None:
        """Replace everything after the opening by `text`."""
        self.items = [*self.items[:1], Text(text, "summary")]
        self.anchors.clear()
        self.stubbed = False
        self.last_id = ""
        self.known_tokens = self.known_items = 0
        self.rent = 0.0


def outcome_on_record(events: Sequence[Event], author: Author) -> StepOutcome | None:
    """The outcome of a step that was decided before the engine ended; None if it was not."""
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


def message_body(reply: Reply, healed: Healed) -> dict[str, Any]:
    return {
        "content": healed.content,
        "stop_reason": reply.stop_reason,
        "usage": reply.usage,
        "model": reply.model,
        "id": reply.id,
        "broken": healed.broken,
    }


def _mark(messages: list[Block], anchors: list[int], fresh: bool, long: bool) -> None:
    """Set cache marks on the messages: at most three, since the system prompt has the fourth.

    Marked are the end of the last user turn, for the next request to find; the user turn before it,
    which the previous request wrote to the cache; and the end of the part that no longer changes
    (the opening, later the last clearing). In the first request after a clearing the previous turn
    has changed as well, so the clearing before is marked instead.
    """
    users = [index for index, m in enumerate(messages) if m["role"] == "user"]
    if not users:
        return
    stable = [users[0], *anchors]
    chosen = {users[-1], stable[-1]}
    if fresh and anchors:
        chosen.add(stable[-2])
    elif len(users) > 1:
        chosen.add(users[-2])
    for index in sorted(chosen)[-3:]:
        content = messages[index]["content"]
        mark = HOUR if long or index == users[0] else SHORT
        content[-1] = {**content[-1], "cache_control": dict(mark)}


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


def _item_size(item: Text | Turn) -> int:
    if isinstance(item, Text):
        return len(item.text)
    return _size(item.blocks()) + _size([c.block() for c in item.calls])
