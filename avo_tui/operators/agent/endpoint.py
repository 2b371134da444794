"""The model behind an endpoint that speaks the Messages API, through the anthropic SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import anthropic
import httpx2

from avo_tui.domain.budget import Spend
from avo_tui.operators.agent.classify import classify
from avo_tui.operators.agent.faults import Fault
from avo_tui.operators.agent.model import Block, Reply, Request, Sink
from avo_tui.operators.agent.pricing import Pricing
from avo_tui.operators.agent.redaction import secrets
from avo_tui.operators.agent.settings import AgentSettings


class AnthropicModel:
    """Any endpoint that speaks the Messages API, through the anthropic SDK."""

    BETAS = ("context-management-2025-06-27", "compact-2026-01-12")

    def __init__(self, settings: AgentSettings, compaction: str = "") -> None:
        """`compaction` are the instructions for the server's summary."""
        self._settings = settings
        self._compaction = compaction
        self._pricing = Pricing(settings)
        self.name = settings.model
        self._client = anthropic.AsyncAnthropic(
            base_url=settings.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(settings.read_timeout, connect=settings.connect_timeout),
        )
        key = self._client.api_key
        if key and not _is_official(self.endpoint):
            # The SDK sends a key as a bearer token, which not every endpoint looks at.
            self._client = self._client.with_options(default_headers={"X-Api-Key": key})
        self._features = {"effort", "thinking", "display"}
        if settings.effort == "default":
            self._features.discard("effort")
        if settings.thinking == "off":
            self._features -= {"thinking", "display"}
        if settings.cache:
            self._features.add("cache")
        if settings.context_editing == "server" or (
            settings.context_editing == "auto" and _is_official(str(self._client.base_url))
        ):
            self._features.add("context editing")

    @property
    def endpoint(self) -> str:
        """Address of the endpoint."""
        return str(self._client.base_url)

    @property
    def edits_context(self) -> bool:
        """True where the server clears and compacts."""
        return "context editing" in self._features

    @property
    def reviews(self) -> bool:
        """A model can be asked anything."""
        return True

    def credentials(self) -> list[str]:
        """The secrets that this client sends."""
        client = self._client
        return secrets(more=[s for s in (client.api_key, client.auth_token) if s])

    def has_credentials(self) -> bool:
        """True if the SDK found a key, a token or a profile."""
        client = self._client
        return bool(client.api_key or client.auth_token or client.credentials)

    def spend(self, usage: Mapping[str, Any]) -> Spend:
        """Tokens and USD, cache and compaction included."""
        return self._pricing.spend(usage)

    def remarks(self) -> list[str]:
        """An unknown price is worth a word."""
        return (
            [] if self._pricing.known else [f"The cost of {self.name} is {self._pricing.source}."]
        )

    def parameters(self) -> dict[str, Any]:
        """Parameters as they are sent, without messages, tools and system prompt."""
        settings, given = self._settings, {}
        if "effort" in self._features:
            given["output_config"] = {"effort": settings.effort}
        if "thinking" in self._features:
            thinking: dict[str, Any] = {"type": "adaptive"}
            if settings.thinking == "budget":
                budget = min(settings.thinking_budget, settings.max_tokens - 1)
                thinking = {"type": "enabled", "budget_tokens": max(1024, budget)}
            if "display" in self._features:
                thinking["display"] = "summarized"
            given["thinking"] = thinking
        return given

    def do_without(self, fault: Fault) -> str | None:
        """Drop the feature that the message names, else the newest one still in use."""
        words = fault.sentence.lower()
        named = {
            "context editing": ("context_management", "beta", "compact"),
            "display": ("display",),
            "effort": ("effort", "output_config"),
            "thinking": ("thinking", "adaptive", "signature"),
            "cache": ("cache_control",),
        }
        order = [f for f, signs in named.items() if any(s in words for s in signs)]
        for feature in (*order, *named):
            if feature in self._features:
                self._features.discard(feature)
                if feature == "thinking":
                    self._features.discard("display")
                return feature
        return None

    async def reply(self, request: Request, sink: Sink) -> Reply:
        """Stream one answer."""
        try:
            return await self._stream(request, sink)
        except Exception as error:
            fault = classify(error)
            if fault is None:
                raise
            raise fault from error

    async def _stream(self, request: Request, sink: Sink) -> Reply:
        arguments: dict[str, Any] = {
            "model": self._settings.model,
            "max_tokens": request.max_tokens,
            "system": request.system,
            "messages": request.messages,
            **self.parameters(),
        }
        if request.tools:
            arguments["tools"] = request.tools
        if "cache" not in self._features:
            arguments = _without_cache_marks(arguments)
        if self.edits_context and not request.plain:
            arguments["betas"] = list(self.BETAS)
            arguments["context_management"] = {"edits": self._edits()}
        buffers: dict[int, list[str]] = {}
        finished: set[int] = set()
        stopped = False
        async with self._client.beta.messages.stream(**arguments) as stream:
            async for event in stream:
                match event.type:
                    case "message_start":
                        sink.usage(_plain(event.message.usage))
                    case "content_block_delta":
                        _delta(event, sink, buffers)
                    case "content_block_stop":
                        finished.add(event.index)
                        sink.end(event.index)
                    case "message_delta":
                        sink.usage(_plain(stream.current_message_snapshot.usage))
                    case "message_stop":
                        stopped = True
                    case _:
                        pass
            if not stopped:
                raise Fault("cut_off", "the stream ended before the answer was complete")
            message = stream.current_message_snapshot
        if message.stop_reason is None:
            raise Fault("cut_off", "the stream ended without a stop reason")
        content, broken = _content(message.content, buffers)
        detail = message.stop_details
        return Reply(
            content=content,
            stop_reason=message.stop_reason,
            usage=_plain(message.usage),
            model=message.model or self.name,
            id=message.id or "",
            stop_detail=(getattr(detail, "explanation", None) or "") if detail else "",
            broken=broken,
        )

    def _edits(self) -> list[Block]:
        settings = self._settings
        clear: Block = {
            "type": "clear_tool_uses_20250919",
            "trigger": {"type": "input_tokens", "value": settings.clear_at},
            "keep": {"type": "tool_uses", "value": settings.keep_results},
            "clear_at_least": {"type": "input_tokens", "value": settings.clear_at // 5},
        }
        # The API takes no compaction below 50,000 tokens.
        compact: Block = {
            "type": "compact_20260112",
            "trigger": {"type": "input_tokens", "value": max(50_000, settings.compact_at)},
        }
        if self._compaction:
            compact["instructions"] = self._compaction
        return [clear, compact]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _delta(event: Any, sink: Sink, buffers: dict[int, list[str]]) -> None:
    delta = event.delta
    if delta.type == "text_delta":
        sink.text(event.index, delta.text, False)
    elif delta.type == "thinking_delta":
        sink.text(event.index, delta.thinking, True)
    elif delta.type == "input_json_delta":
        buffers.setdefault(event.index, []).append(delta.partial_json)


def _content(blocks: Any, buffers: dict[int, list[str]]) -> tuple[list[Block], dict[str, str]]:
    """(blocks to keep, broken calls): empty texts are dropped, the API takes none back."""
    content: list[Block] = []
    broken: dict[str, str] = {}
    for index, block in enumerate(blocks):
        plain = _plain(block)
        if plain.get("type") != "compaction":
            plain = {key: value for key, value in plain.items() if value is not None}
        plain.pop("parsed_output", None)
        if plain.get("type") == "text" and not str(plain.get("text", "")).strip():
            continue
        if plain.get("type") == "tool_use":
            # The SDK reads partial JSON leniently; an unfinished call must not run.
            sent = "".join(buffers.get(index, []))
            if sent and not _is_object(sent):
                broken[str(plain.get("id", ""))] = sent
                plain["input"] = {}
            elif not isinstance(plain.get("input"), dict):
                broken[str(plain.get("id", ""))] = json.dumps(plain.get("input"))
                plain["input"] = {}
        content.append(plain)
    return content, broken


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _plain(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value.to_dict(mode="json", warnings=False))


def _is_official(address: str) -> bool:
    host = httpx2.URL(address).host
    return host == "anthropic.com" or host.endswith(".anthropic.com")


def _without_cache_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_cache_marks(v) for k, v in value.items() if k != "cache_control"}
    if isinstance(value, list):
        return [_without_cache_marks(v) for v in value]
    return value
