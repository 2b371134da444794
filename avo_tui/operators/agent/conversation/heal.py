"""Repairs a model's answer so that it can be sent back to the endpoint.

An answer is repeated in every later request of its step. One invalid name, id or block in it would
make the endpoint refuse each of these requests, and retrying would not help. So each answer is
repaired before it is recorded: invalid parts are corrected or left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from avo_tui.domain.secrets import redact_json
from avo_tui.operators.agent.model.port import Block, Reply
from avo_tui.operators.agent.words import clean_json, clean_text

MOST_ID = MOST_NAME = 64
ID = re.compile(rf"[A-Za-z0-9_-]{{1,{MOST_ID}}}")
NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MOST_NAME}}}")
"""Ids and names of calls that every endpoint takes."""

UNNAMED = "unnamed_tool"
"""Name for a tool call without a usable name; the toolbox answers that no such tool exists."""

THINKING = {"thinking", "redacted_thinking"}


@dataclass
class Healed:
    """A valid answer, and a description of each repair."""

    content: list[Block] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def heal(
    reply: Reply,
    used: Collection[str],
    tools: Mapping[str, Mapping[str, Any]],
    redact: Callable[[str], str],
    *,
    thinking: Literal["signed", "any", "none"],
) -> Healed:
    """The answer in a form that can be recorded and sent back.

    `used` are the call ids used in the step so far, `tools` the names of the toolbox with the
    schema of their arguments. `thinking` says which thinking is kept: `any` for servers that do not
    check signatures, whose models read what they thought; `none` where the endpoint refuses it.
    """
    result = Healed()
    taken = set(used)
    content = _with_written_calls(reply.content, tools, result)
    for position in range(_last_hop(content), len(content)):
        block = content[position]
        kind = str(block.get("type", ""))
        healed: Block | None
        if kind == "tool_use":
            healed = _call(block, reply.broken.get(position), taken, tools, redact, result)
        elif kind in THINKING:
            healed = None if thinking == "none" else _thinking(block, redact, thinking, result)
        elif kind in _PLAIN:
            healed = _PLAIN[kind](block, redact)
        else:
            result.remarks.append(f"a block of the unknown kind {redact(kind)[:60]!r} was left out")
            healed = None
        if healed is not None:
            result.content.append(healed)
    _end(result.content)
    return result


def _last_hop(content: list[Block]) -> int:
    """Where the part of the model that answered last begins, with the block that names it; a
    refused part before it is dropped."""
    for index in range(len(content) - 1, -1, -1):
        if content[index].get("type") == "fallback":
            return index
    return 0


def _fallback(block: Mapping[str, Any], redact: Callable[[str], str]) -> Block | None:
    """The mark of another model's answer, which the server wants back."""
    models = {side: (block.get(side) or {}).get("model") for side in ("from", "to")}
    if not all(isinstance(name, str) for name in models.values()):
        return None
    kept: Block = {"type": "fallback", **{side: {"model": m} for side, m in models.items()}}
    return kept if redact_json(kept, redact) == kept else None


def _with_written_calls(
    content: list[Block], tools: Mapping[str, Mapping[str, Any]], result: Healed
) -> list[Block]:
    """The blocks of an answer; calls that a model wrote as text, for want of a parser in its
    server, become calls."""
    if any(block.get("type") == "tool_use" for block in content):
        return content
    calls: list[Block] = []
    for block in content:
        for part in str(block.get("text") or "").split("<tool_call>")[1:]:
            written, end, _ = part.partition("</tool_call>")
            try:
                call = json.loads(written) if end else None
            except (ValueError, RecursionError):
                continue
            if not isinstance(call, dict):
                continue
            if (name := tool_name(str(call.get("name")), tools)) in tools:
                arguments = call.get("arguments", call.get("parameters", {}))
                calls.append({"type": "tool_use", "id": "", "name": name, "input": arguments})
    if calls:
        result.remarks.append(
            "the model wrote its calls as text, and they were read as calls: does its server have a"
            " tool parser for this model?"
        )
    return [*content, *calls]


def _as_meant(arguments: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with lists and objects read that were written as JSON in a string."""
    meant = dict(arguments)
    for name, value in arguments.items():
        kinds = schema.get("properties", {}).get(name, {})
        kinds = {kind.get("type", "object") for kind in kinds.get("anyOf", [kinds])}
        if isinstance(value, str) and "string" not in kinds and kinds & {"array", "object"}:
            with contextlib.suppress(ValueError, RecursionError):
                read = json.loads(value)
                meant[name] = read if isinstance(read, list | dict) else value
    return meant


def _text(block: Mapping[str, Any], redact: Callable[[str], str]) -> Block | None:
    text = redact(clean_text(str(block.get("text") or "")))
    return {"type": "text", "text": text} if text.strip() else None


def _compaction(block: Mapping[str, Any], redact: Callable[[str], str]) -> Block | None:
    kept: Block = {"type": "compaction", "content": block.get("content") or None}
    for name in ("encrypted_content", "signature"):
        if name in block and (block[name] is None or isinstance(block[name], str)):
            kept[name] = block[name]
    return kept if redact_json(kept, redact) == kept else None


_PLAIN: dict[str, Callable[[Mapping[str, Any], Callable[[str], str]], Block | None]] = {
    "text": _text,
    "compaction": _compaction,
    "fallback": _fallback,
}


def _thinking(
    block: Mapping[str, Any], redact: Callable[[str], str], which: str, result: Healed
) -> Block | None:
    kept: Block
    if block.get("type") == "redacted_thinking":
        data = block.get("data")
        if not isinstance(data, str) or not data:
            return None
        kept = {"type": "redacted_thinking", "data": data}
    else:
        words = clean_text(str(block.get("thinking") or ""))
        signature = block.get("signature")
        signature = signature if isinstance(signature, str) else ""
        if not signature and (which == "signed" or not words.strip()):
            return None
        kept = {"type": "thinking", "thinking": words, "signature": signature}
    if redact_json(kept, redact) != kept:
        # Thinking is signed: an edited block would be refused, and the original contains a secret.
        result.remarks.append("thinking that repeated a secret was left out")
        return None
    return kept


def _call(
    block: Mapping[str, Any],
    broken: str | None,
    taken: set[str],
    tools: Mapping[str, Mapping[str, Any]],
    redact: Callable[[str], str],
    result: Healed,
) -> Block:
    given = str(block.get("id") or "")
    identity = unique_id(clean_id(redact(given)), taken)
    taken.add(identity)
    name = tool_name(redact(clean_text(str(block.get("name") or ""))), tools)
    if name != block.get("name"):
        called = redact(clean_text(str(block.get("name"))))[:60]
        result.remarks.append(f"the model called the tool {called!r}; read as {name}")
    if broken is not None:
        result.broken[identity] = redact(clean_text(broken))[:2000]
    try:
        arguments = block.get("input")
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        if isinstance(arguments, dict):
            arguments = _as_meant(arguments, tools.get(name, {}))
        arguments = clean_json(arguments)
    except (ValueError, RecursionError) as error:
        result.broken[identity] = str(error)
        arguments = {}
    if not isinstance(arguments, dict):
        result.broken.setdefault(identity, redact(repr(arguments))[:500])
        arguments = {}
    return {
        "type": "tool_use",
        "id": identity,
        "name": name,
        "input": redact_json(arguments, redact),
    }


def _end(content: list[Block]) -> None:
    """Ensure that the message does not end in thinking, nor its last text in white space."""
    while len(content) > 1 and content[-1]["type"] in THINKING:
        content.pop()
    if content and content[-1]["type"] == "text":
        content[-1] = {**content[-1], "text": content[-1]["text"].rstrip()}


def clean_id(identity: str) -> str:
    """The id with every invalid character replaced; never empty."""
    if ID.fullmatch(identity):
        return identity
    digest = hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:8]
    kept = re.sub(r"[^A-Za-z0-9_-]", "_", identity)[: MOST_ID - 12].strip("_")
    return f"{kept or 'call'}_{digest}" if identity else "call"


def unique_id(identity: str, taken: Collection[str]) -> str:
    """The id itself if it is not taken, otherwise the id with a number appended."""
    fresh, number = identity, 1
    while fresh in taken:
        number += 1
        end = f"-{number}"
        fresh = identity[: MOST_ID - len(end)] + end
    return fresh


def tool_name(name: str, tools: Collection[str]) -> str:
    """The tool that a name refers to, or else the name turned into a valid one.

    Models write `functions.read_candidate` or `avo:compile`; the last part is used if the toolbox
    has a tool of that name.
    """
    if name in tools:
        return name
    last = re.split(r"[.:/\s]|__", name.strip())[-1]
    if last in tools:
        return last
    valid = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:MOST_NAME].strip("_")
    return valid if NAME.fullmatch(valid) else UNNAMED
