"""Puts a streamed answer together from its events.

The SDK does this as well, but raises for arguments of a tool call that are not JSON, which loses
the whole answer: the model would never be told what was wrong with its call. It also parses all
arguments again at every piece of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from avo_tui.operators.agent.model.faults import Fault
from avo_tui.operators.agent.model.port import Block, Reply, Sink
from avo_tui.operators.agent.words import clean_json, clean_strings, clean_text

MOST_BLOCKS = 1000

_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""Kind of a delta that continues a text → the member that holds the next piece of it."""
_VALUES = {"signature_delta": ("signature",), "compaction_delta": ("content", "encrypted_content")}
"""Kind of a delta that sets members of the block → their names."""


@dataclass
class _Part:
    """A content block that is being received."""

    block: Block
    pieces: dict[str, list[str]] = field(default_factory=dict)
    """Name of the delta's member → the pieces received so far."""

    def text(self, name: str) -> str:
        return "".join(self.pieces.get(name, ()))


class Assembly:
    """One answer, as far as its stream has come. Passes pieces and usage on to the sink."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._parts: dict[int, _Part] = {}
        self._open: set[int] = set()
        self.begun = self.stopped = self._started = self._reason = False

    @property
    def complete(self) -> bool:
        """Whether nothing of the answer is missing: it was ended, or every block of it was and the
        reason why it stopped has come."""
        return self.stopped or (self._started and self._reason and not self._open)

    def take(self, event: Mapping[str, Any]) -> int:
        """Add one event; returns the characters of progress, 0 for an event that brings nothing.

        Raises Fault for an event that cannot belong to an answer.
        """
        self.begun = True
        if self.stopped:
            return 0
        match event.get("type"):
            case "message_start":
                self._parts.clear()  # of an answer that a gateway gave up, to begin another
                self._open.clear()
                self._message = dict(_object(event.get("message")))
                self._started = True
                self._count(self._message.get("usage"))
                return 1
            case "content_block_start":
                self._begin(_index(event), dict(_object(event.get("content_block"))))
                return 1
            case "content_block_delta":
                return self._continue(_index(event), _object(event.get("delta")))
            case "content_block_stop":
                self._open.discard(_index(event))
                self._sink.end(_index(event))
            case "message_delta":
                delta = _object(event.get("delta"))
                self._message.update({k: v for k, v in delta.items() if v is not None})
                self._reason |= bool(delta.get("stop_reason"))
                self._count(event.get("usage"))
                return 1
            case "message_stop":
                self.stopped = bool(self._parts) or self._reason
            case _:
                pass
        return 0

    def take_whole(self, message: Mapping[str, Any]) -> None:
        """Take an answer that came in one piece. Raises Fault if it cannot be one."""
        self.take({"type": "message_start", "message": message})
        for index, block in enumerate(message["content"]):
            self._begin(index, dict(_object(block)))
            for name in ("text", "thinking"):
                if isinstance(piece := _object(block).get(name), str):
                    self._sink.text(index, clean_text(piece), name == "thinking")
            self._sink.arguments(len(str(_object(block).get("input", ""))))
            self._sink.end(index)
        self.stopped = True

    def _count(self, usage: Any) -> None:
        """Totals so far; what a later report leaves out stays as it was."""
        self._usage.update({k: v for k, v in _object(usage).items() if v is not None})
        if self._usage:
            self._sink.usage(self._usage)

    def _begin(self, index: int, block: Block) -> None:
        if index in self._parts or len(self._parts) >= MOST_BLOCKS:
            raise Fault("malformed", f"the answer begins block {index} twice or has too many")
        if block.get("type") == "fallback":  # names the model that answers from here on
            self._message["model"] = _object(block.get("to")).get("model") or self._message.get(
                "model"
            )
        self._parts[index] = _Part(block)
        self._open.add(index)

    def _continue(self, index: int, delta: Mapping[str, Any]) -> int:
        part = self._parts.get(index)
        if part is None:
            raise Fault("malformed", f"the answer continues block {index}, which it never began")
        kind = str(delta.get("type"))
        if kind not in _PIECES:
            part.block.update({name: delta.get(name) for name in _VALUES.get(kind, ())})
            return 1
        name = _PIECES[kind]
        piece = delta.get(name)
        if not isinstance(piece, str):
            raise Fault("malformed", f"a piece of block {index} is no text")
        part.pieces.setdefault(name, []).append(piece)
        if kind == "input_json_delta":
            self._sink.arguments(len(piece))
        else:
            self._sink.text(index, clean_text(piece), kind == "thinking_delta")
        return len(piece)

    def reply(self) -> Reply:
        """The complete answer. Raises Fault if the stream ended before it was complete."""
        message = clean_strings(self._message)
        if not self.complete:
            raise Fault("cut_off", "the stream ended before the answer was complete")
        content: list[Block] = []
        broken: dict[int, str] = {}
        for part in self._parts.values():
            block, sent = finished(part.block, part.pieces)
            if sent is not None:
                broken[len(content)] = sent
            content.append(block)
        # A server that leaves the reason out has ended its answer all the same.
        calls = any(block.get("type") == "tool_use" for block in content)
        return Reply(
            content=content,
            stop_reason=str(message.get("stop_reason") or ("tool_use" if calls else "end_turn")),
            usage=clean_strings(self._usage) or {"output_tokens": None},
            model=str(message.get("model") or ""),
            id=str(message.get("id") or ""),
            cache_miss=_why_missed(_object(message.get("diagnostics"))),
            stop_detail=_why_refused(_object(message.get("stop_details"))),
            broken=broken,
        )


def finished(block: Block, pieces: Mapping[str, list[str]]) -> tuple[Block, str | None]:
    """(block as JSON with its pieces, arguments as they were sent if they are not a JSON object).

    Only a tool call has arguments. Those of an incomplete call are never guessed.
    """
    whole: Block = clean_strings(block)
    for name in ("text", "thinking"):
        if name in pieces:
            sent = str(block.get(name) or "") + "".join(pieces[name])
            whole[name] = clean_text(sent)
            if whole[name] != sent:  # its signature is that of the text as it was sent
                whole.pop("signature", None)
    if whole.get("type") != "tool_use":
        return whole, None
    sent = "".join(pieces.get("partial_json", ()))
    arguments = _arguments(sent, block.get("input"))
    whole["input"] = arguments or {}
    if arguments is not None:
        return whole, None
    return whole, clean_text(sent) or repr(block.get("input"))[:2000]


def _arguments(sent: str, given: Any) -> dict[str, Any] | None:
    """The arguments of a call; None if what was sent is not a JSON object."""
    try:
        value = json.loads(sent) if sent.strip() else given
        value = clean_json(json.loads(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _why_refused(details: Mapping[str, Any]) -> str:
    """Category and explanation of a refusal, such as `cyber: it looked like an exploit`."""
    parts = [details.get("category"), details.get("explanation")]
    text = ": ".join(str(p) for p in parts if p)
    if other := details.get("recommended_model"):
        text += f" (the server recommends {other})"
    return text


def _why_missed(diagnostics: Mapping[str, Any]) -> str:
    """What has changed in a request since the one before; empty if nothing is known to have."""
    reason = _object(diagnostics.get("cache_miss_reason"))
    what = str(reason.get("type")).removesuffix("_changed")
    if what not in {"model", "system", "tools", "messages"}:
        return ""
    return f"{what} changed, about {reason.get('cache_missed_input_tokens')} tokens are paid again"


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _index(event: Mapping[str, Any]) -> int:
    index = event.get("index")
    if isinstance(index, bool) or not isinstance(index, int):
        raise Fault("malformed", "a block of the answer has no number")
    return index
