"""The prompt cache of the Messages API, simulated by its rules.

A cache mark stores the prefix that ends at it, for five minutes or an hour from its last use. A
request reads the longest stored prefix that ends at one of its marks, or at most twenty blocks
before one; what lies between that and its last mark is written, and what follows is plain input.
Prefixes are compared block by block, in the order tools, system, messages. Prefixes under 1,024
tokens are not stored. Context editing is applied first, as the server does it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]

CHARACTERS_PER_TOKEN = 3.5
LOOKBACK = 20
LEAST = 1024
SECONDS = {"5m": 300.0, "1h": 3600.0}


@dataclass
class Usage:
    """Tokens of one request's input."""

    fresh: int
    read: int
    written: int
    written_1h: int

    def fields(self) -> Body:
        """As the API reports them."""
        return {
            "input_tokens": self.fresh,
            "cache_read_input_tokens": self.read,
            "cache_creation_input_tokens": self.written,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written - self.written_1h,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
        }


@dataclass
class PromptCache:
    """What one server holds. `clock` gives seconds, of the test's own time."""

    clock: Callable[[], float]
    _stored: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Digest of a prefix → (end of its life, its ttl)."""

    def request(self, body: Body) -> Usage:
        """Read and write the cache for one request."""
        blocks, now = _blocks(edited(body)), self.clock()
        digests, sizes = _prefixes(blocks)
        total = sizes[-1] if sizes else 0
        marks = [i for i, b in enumerate(blocks) if b.get("cache_control")]
        hit = self._hit(marks, digests, now)
        read = sizes[hit] if hit is not None else 0
        if hit is not None:
            life, ttl = self._stored[digests[hit]]
            self._stored[digests[hit]] = (max(life, now + SECONDS[ttl]), ttl)
        written = written_1h = 0
        for mark in marks:
            ttl = blocks[mark]["cache_control"].get("ttl", "5m")
            if sizes[mark] < LEAST:
                continue
            if sizes[mark] > read + written:
                more = sizes[mark] - read - written
                written += more
                written_1h += more if ttl == "1h" else 0
            life = self._stored.get(digests[mark], (0.0, ttl))[0]
            self._stored[digests[mark]] = (max(life, now + SECONDS[ttl]), ttl)
        if len(self._stored) > 5000:
            self._stored = {k: v for k, v in self._stored.items() if v[0] > now}
        return Usage(total - read - written, read, written, written_1h)

    def _hit(self, marks: list[int], digests: list[str], now: float) -> int | None:
        best = None
        for mark in marks:
            for place in range(mark, max(-1, mark - LOOKBACK - 1), -1):
                life = self._stored.get(digests[place], (0.0, ""))[0]
                if life > now:
                    best = place if best is None else max(best, place)
                    break
        return best


def edited(body: Body) -> Body:
    """The request after `clear_tool_uses`: all but the newest tool uses emptied."""
    edits = (body.get("context_management") or {}).get("edits", [])
    if not edits:
        return body
    keep, inputs = edits[0]["keep"]["value"], edits[0].get("clear_tool_inputs")
    uses = [b["id"] for m in body["messages"] for b in m["content"] if b["type"] == "tool_use"]
    gone = set(uses[: len(uses) - keep])
    messages = []
    for message in body["messages"]:
        content = []
        for block in message["content"]:
            if block["type"] == "tool_result" and block["tool_use_id"] in gone:
                block = {**block, "content": "[cleared]"}
            elif block["type"] == "tool_use" and block["id"] in gone and inputs:
                block = {**block, "input": {}}
            content.append(block)
        messages.append({**message, "content": content})
    return {**body, "messages": messages}


def _blocks(body: Body) -> list[Body]:
    messages = [{**b, "role": m["role"]} for m in body["messages"] for b in m["content"]]
    return [*body.get("tools", []), *body.get("system", []), *messages]


def _prefixes(blocks: list[Body]) -> tuple[list[str], list[int]]:
    """(digest, tokens) of the prefix that ends at each block."""
    chain, characters = hashlib.sha256(), 0
    digests, sizes = [], []
    for block in blocks:
        text = json.dumps({k: v for k, v in block.items() if k != "cache_control"}, sort_keys=True)
        chain.update(text.encode())
        characters += len(text)
        digests.append(chain.hexdigest())
        sizes.append(int(characters / CHARACTERS_PER_TOKEN))
    return digests, sizes
