"""Checks a request against the rules of the Messages API before it is sent.

A request that breaks one of these rules is refused with status 400 every time, so it is better to
find that out first. The rules come from the API's reference and the SDK's types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ID = re.compile(r"[A-Za-z0-9_-]+")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_ID = 64
MOST_NAME = 64
MOST_MARKS = 4
"""Largest number of cache marks in one request."""

_ASSISTANT = {"text", "thinking", "redacted_thinking", "tool_use", "compaction"}
_USER = {"text", "tool_result"}
_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "text": ({"type", "text"}, {"cache_control"}),
    "thinking": ({"type", "thinking", "signature"}, set()),
    "redacted_thinking": ({"type", "data"}, set()),
    "tool_use": ({"type", "id", "name", "input"}, {"cache_control"}),
    "tool_result": ({"type", "tool_use_id"}, {"content", "is_error", "cache_control"}),
    "compaction": ({"type", "content"}, {"encrypted_content", "signature", "cache_control"}),
}
"""(required fields, optional fields) of each kind of block that may be sent."""

Problem = tuple[str, str]
"""(path such as `messages.3.content.0.id`, description of the error)."""


def problems(
    messages: Sequence[Mapping[str, Any]],
    system: Sequence[Mapping[str, Any]] = (),
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    open_end: bool = False,
) -> list[Problem]:
    """Everything that the API would refuse; empty for a valid request.

    `open_end` allows the last message to be the assistant's, because a paused turn is sent back
    unchanged.
    """
    result = [
        *_system(system),
        *_tools(tools),
        *_turns(messages, open_end),
        *_answers(messages),
        *_marks([*tools, *system, *_blocks(messages)]),
    ]
    try:
        json.dumps([messages, system, tools], ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        result.append(("request", f"is not JSON in UTF-8: {error}"))
    return result


def _blocks(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            yield from (b for b in content if isinstance(b, Mapping))


def _system(system: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for index, block in enumerate(system):
        if block.get("type") != "text":
            yield f"system.{index}", "is no text block"
        else:
            yield from _block(f"system.{index}", block)


def _tools(tools: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        name = tool.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield f"tools.{index}.name", f"{name!r} is no name of a tool"
        elif name in seen:
            yield f"tools.{index}.name", f"{name} is there twice"
        else:
            seen.add(name)
        schema = tool.get("input_schema")
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            yield f"tools.{index}.input_schema", "is no schema of an object"


def _turns(messages: Sequence[Mapping[str, Any]], open_end: bool) -> Iterator[Problem]:
    if not messages:
        yield "messages", "are empty"
        return
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        role, content = message.get("role"), message.get("content")
        expected = "user" if index % 2 == 0 else "assistant"
        if role != expected:
            yield f"{path}.role", f"is {role!r}, not {expected}"
        if not isinstance(content, list) or not content:
            yield f"{path}.content", "is empty"
            continue
        allowed = _USER if role == "user" else _ASSISTANT
        for number, block in enumerate(content):
            where = f"{path}.content.{number}"
            if not isinstance(block, Mapping) or block.get("type") not in allowed:
                yield where, f"is no block that a message of the {role} may hold"
            else:
                yield from _block(where, block)
        last = content[-1]
        thinks = isinstance(last, Mapping) and last.get("type") in {"thinking", "redacted_thinking"}
        if role == "assistant" and thinks:
            yield f"{path}.content", "ends in thinking"
    if messages[-1].get("role") != "user" and not open_end:
        yield f"messages.{len(messages) - 1}", "is the last and not the user's"


def _block(path: str, block: Mapping[str, Any]) -> Iterator[Problem]:
    kind = str(block["type"])
    needed, optional = _FIELDS[kind]
    for name in sorted(needed - set(block)):
        yield f"{path}.{name}", "is missing"
    for name in sorted(set(block) - needed - optional):
        yield f"{path}.{name}", "is no field of this block"
    for name in sorted((needed | {"content", "encrypted_content"}) & set(block) - {"type"}):
        yield from _field(f"{path}.{name}", kind, name, block[name])
    mark = block.get("cache_control")
    if mark is not None and (
        not isinstance(mark, Mapping)
        or mark.get("type") != "ephemeral"
        or mark.get("ttl", "5m") not in {"5m", "1h"}
        or not set(mark) <= {"type", "ttl"}
    ):
        yield f"{path}.cache_control", "is no cache mark"


def _field(path: str, kind: str, name: str, value: Any) -> Iterator[Problem]:
    if name == "input":
        if not isinstance(value, dict):
            yield path, "is no object"
    elif kind == "compaction":
        if value is not None and (not isinstance(value, str) or not value):
            yield path, "is neither null nor text"
    elif kind == "tool_result" and name == "content":
        if not isinstance(value, str):
            yield path, "is no text"
    elif not isinstance(value, str):
        yield path, "is no text"
    elif name in {"id", "tool_use_id"}:
        if not ID.fullmatch(value) or len(value) > MOST_ID:
            yield path, f"{value[:80]!r} is no id of a call"
    elif name == "name":
        if not NAME.fullmatch(value):
            yield path, f"{value[:80]!r} is no name of a tool"
    elif name in {"text", "data"} and not value.strip():
        yield path, "is empty"


def _answers(messages: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Every call is answered once, at the beginning of the message that follows."""
    seen: set[str] = set()
    for index, message in enumerate(messages):
        content = message.get("content")
        if not isinstance(content, list):
            continue
        blocks = [b for b in content if isinstance(b, Mapping)]
        calls = [b.get("id") for b in blocks if b.get("type") == "tool_use"]
        for call in calls:
            if call in seen:
                yield f"messages.{index}", f"the id {call!r} is there twice"
            seen.add(str(call))
        following = messages[index + 1].get("content") if index + 1 < len(messages) else []
        results = [
            b.get("tool_use_id")
            for b in (following if isinstance(following, list) else [])
            if isinstance(b, Mapping) and b.get("type") == "tool_result"
        ]
        if message.get("role") == "assistant" and sorted(map(str, calls)) != sorted(
            map(str, results)
        ):
            yield f"messages.{index}", "its calls and the results that follow do not match"
        if message.get("role") == "user":
            kinds = [b.get("type") == "tool_result" for b in blocks]
            if kinds != sorted(kinds, reverse=True):
                yield f"messages.{index}", "results come after text"
            if index == 0 and any(kinds):
                yield f"messages.{index}", "results without calls"


def _marks(blocks: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    marks = [b["cache_control"] for b in blocks if b.get("cache_control") is not None]
    if len(marks) > MOST_MARKS:
        yield "cache_control", f"{len(marks)} marks; {MOST_MARKS} at most"
    long = [isinstance(m, Mapping) and m.get("ttl") == "1h" for m in marks]
    if long != sorted(long, reverse=True):
        yield "cache_control", "a mark of one hour comes after one of five minutes"
