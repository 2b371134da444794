"""What a server of the Messages API refuses, in its words: written from the SDK's types.

The fields of each block are those of the SDK's `TypedDict`s, so that this does not merely repeat
what the agent's own validator believes.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from anthropic.types.beta import (
    BetaCacheControlEphemeralParam,
    BetaCompactionBlockParam,
    BetaFallbackBlockParam,
    BetaRedactedThinkingBlockParam,
    BetaTextBlockParam,
    BetaThinkingBlockParam,
    BetaToolParam,
    BetaToolResultBlockParam,
    BetaToolUseBlockParam,
)
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming

Body = dict[str, Any]

BLOCKS: dict[str, Any] = {
    "text": BetaTextBlockParam,
    "fallback": BetaFallbackBlockParam,
    "thinking": BetaThinkingBlockParam,
    "redacted_thinking": BetaRedactedThinkingBlockParam,
    "tool_use": BetaToolUseBlockParam,
    "tool_result": BetaToolResultBlockParam,
    "compaction": BetaCompactionBlockParam,
}
ROLES = {
    "user": {"text", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use", "compaction", "fallback"},
}
BODY = set(MessageCreateParamsNonStreaming.__annotations__) | {
    *MessageCreateParamsNonStreaming.__required_keys__,
    *MessageCreateParamsNonStreaming.__optional_keys__,
    "stream",
}
TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
CALL_ID = re.compile(r"^[a-zA-Z0-9_-]+$")


def refusal(body: Body, *, binding: bool = False, prefill: bool = False) -> str | None:
    """The message of the 400 that the request earns; None for a valid one.

    With `binding`, thinking is refused where what precedes it is not what it was signed over.
    """
    return next(_refusals(body, binding, prefill), None)


def _refusals(body: Body, binding: bool, prefill: bool) -> Iterator[str]:
    for name in body:
        if name not in BODY:
            yield f"{name}: Extra inputs are not permitted"
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        yield "max_tokens: Input should be a valid integer greater than 0"
    yield from _thinking_config(body)
    for place, block in enumerate(body.get("system", [])):
        yield from _block(f"system.{place}", block, {"text"})
    yield from _tools(body.get("tools", []))
    yield from _messages(body.get("messages", []), prefill)
    yield from _marks(body)
    yield from _context(body)
    if binding:
        yield from _signatures(body["messages"])


def _thinking_config(body: Body) -> Iterator[str]:
    thinking = body.get("thinking")
    if thinking is None:
        return
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < 1024:
            yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
        elif budget >= body["max_tokens"]:
            yield "`max_tokens` must be greater than `thinking.budget_tokens`"


def _tools(tools: list[Body]) -> Iterator[str]:
    names: set[str] = set()
    for place, tool in enumerate(tools):
        yield from _fields(f"tools.{place}.custom", tool, BetaToolParam)
        name = str(tool.get("name", ""))
        if not TOOL_NAME.match(name):
            yield f"tools.{place}.custom.name: String should match pattern '{TOOL_NAME.pattern}'"
        if name in names:
            yield "tools: Tool names must be unique."
        names.add(name)


def _messages(messages: list[Body], prefill: bool) -> Iterator[str]:
    if not messages:
        yield "messages: at least one message is required"
        return
    if messages[0].get("role") != "user":
        yield "messages: first message must use the user role"
    open_calls: list[str] = []
    ids: set[str] = set()
    for place, message in enumerate(messages):
        path, role = f"messages.{place}", str(message.get("role"))
        if set(message) != {"role", "content"} or role not in ROLES:
            yield f"{path}: Extra inputs are not permitted"
            return
        content = message["content"]
        if not isinstance(content, list) or not content:
            yield f"{path}: all messages must have non-empty content"
            return
        for number, block in enumerate(content):
            yield from _block(f"{path}.content.{number}", block, ROLES[role])
        yield from _pairs(path, role, content, open_calls, ids)
        open_calls = [str(b["id"]) for b in content if b["type"] == "tool_use"]
        if role == "assistant" and content[-1]["type"] in {"thinking", "redacted_thinking"}:
            yield f"{path}: The final block in an assistant message cannot be `thinking`."
        if place == len(messages) - 1 and role == "assistant":
            if not prefill:
                yield (
                    "This model does not support assistant message prefill."
                    " The conversation must end with a user message."
                )
            if (
                content[-1]["type"] == "text"
                and content[-1]["text"] != content[-1]["text"].rstrip()
            ):
                yield f"{path}: final assistant content cannot end with trailing whitespace"
    if open_calls:
        yield (
            f"messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks"
            f" immediately after: {', '.join(open_calls)}"
        )


def _pairs(
    path: str, role: str, content: list[Body], open_calls: list[str], ids: set[str]
) -> Iterator[str]:
    results = [str(b["tool_use_id"]) for b in content if b["type"] == "tool_result"]
    if role == "user":
        if missing := [c for c in open_calls if c not in results]:
            yield (
                f"{path}: `tool_use` ids were found without `tool_result` blocks immediately"
                f" after: {', '.join(missing)}"
            )
        if strangers := [r for r in results if r not in open_calls]:
            yield f"{path}: unexpected `tool_use_id` found in `tool_result` blocks: {strangers[0]}"
        if len(results) != len(set(results)):
            yield f"{path}: each tool_use must have a single result"
        kinds = [b["type"] != "tool_result" for b in content]
        if open_calls and kinds != sorted(kinds):
            yield f"{path}: tool_result blocks must come first in the message"
    elif open_calls:
        yield f"{path}: `tool_use` ids were found without `tool_result` blocks immediately after"
    for block in content:
        if block["type"] == "tool_use":
            if block["id"] in ids:
                yield f"{path}: `tool_use` ids must be unique"
            ids.add(block["id"])


def _block(path: str, block: Any, allowed: set[str]) -> Iterator[str]:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind not in allowed or kind not in BLOCKS:
        yield f"{path}: Input tag {kind!r} found using 'type' does not match any expected tag"
        return
    yield from _fields(f"{path}.{kind}", block, BLOCKS[kind])
    if kind == "text" and not str(block.get("text", "")).strip():
        yield f"{path}: text content blocks must contain non-whitespace text"
    if kind == "tool_use":
        if not TOOL_NAME.match(str(block.get("name", ""))):
            yield f"{path}.tool_use.name: String should match pattern '{TOOL_NAME.pattern}'"
        if not CALL_ID.match(str(block.get("id", ""))):
            yield f"{path}.tool_use.id: String should match pattern '{CALL_ID.pattern}'"
        if not isinstance(block.get("input"), dict):
            yield f"{path}.tool_use.input: Input should be a valid dictionary"
    if kind == "tool_result" and not CALL_ID.match(str(block.get("tool_use_id", ""))):
        yield f"{path}.tool_result.tool_use_id: String should match pattern '{CALL_ID.pattern}'"
    if kind == "compaction" and block.get("content") == "":
        yield f"{path}.compaction.content: String should have at least 1 character"


def _fields(path: str, value: Mapping[str, Any], typed: Any) -> Iterator[str]:
    for name in typed.__required_keys__ - set(value):
        yield f"{path}.{name}: Field required"
    for name in set(value) - typed.__required_keys__ - typed.__optional_keys__:
        yield f"{path}.{name}: Extra inputs are not permitted"
    for name in ("text", "thinking", "signature", "data", "id", "name", "tool_use_id"):
        if name in value and name in typed.__required_keys__ and not isinstance(value[name], str):
            yield f"{path}.{name}: Input should be a valid string"


def _marks(body: Body) -> Iterator[str]:
    marks = list(_cache_marks(body))
    if len(marks) > 4:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}."
    for mark in marks:
        yield from _fields("cache_control", mark, BetaCacheControlEphemeralParam)
        if mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in {"5m", "1h"}:
            yield "cache_control: Input should be 'ephemeral'"
    times = [m.get("ttl", "5m") == "5m" for m in marks]
    if times != sorted(times):
        yield "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"


def _cache_marks(body: Body) -> Iterator[Body]:
    messages = [b for m in body.get("messages", []) for b in m.get("content", [])]
    for block in (*body.get("tools", []), *body.get("system", []), *messages):
        if isinstance(block, Mapping) and block.get("cache_control") is not None:
            yield block["cache_control"]


def _context(body: Body) -> Iterator[str]:
    for edit in (body.get("context_management") or {}).get("edits", []):
        if edit.get("type") != "clear_tool_uses_20250919":
            yield f"context_management.edits: unknown edit {edit.get('type')}"
            continue
        keep = edit.get("keep", {}).get("value")
        if not isinstance(keep, int) or keep < 0:
            yield "context_management.edits.keep: Input should be a valid integer"


def signature(messages: list[Body]) -> str:
    """What thinking is signed with after these messages: a digest of all that precedes it."""
    chain = hashlib.sha256()
    for message in messages:
        chain.update(_digest(message))
    return chain.hexdigest()[:24]


def _signatures(messages: list[Body]) -> Iterator[str]:
    chain = hashlib.sha256()
    for place, message in enumerate(messages):
        expected = chain.hexdigest()[:24]
        for number, block in enumerate(message["content"]):
            if block["type"] == "thinking" and block["signature"] != expected:
                yield f"messages.{place}.content.{number}: Invalid `signature` in `thinking` block"
        chain.update(_digest(message))


def _digest(message: Body) -> bytes:
    return hashlib.sha256(json.dumps(_unmarked(message), sort_keys=True).encode()).digest()


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _unmarked(v) for k, v in value.items() if k != "cache_control"}
    if isinstance(value, list):
        return [_unmarked(v) for v in value]
    return value
