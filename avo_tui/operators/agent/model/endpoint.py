"""A model behind an endpoint that speaks the Messages API, accessed through the anthropic SDK."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, cast

import anthropic

from avo_tui.domain.budget import Spend
from avo_tui.operators.agent.model.classify import classify
from avo_tui.operators.agent.model.clients import (
    endpoint_of,
    file_key,
    has_credentials,
    is_official,
    make_client,
    secrets_of,
)
from avo_tui.operators.agent.model.features import Feature, Features
from avo_tui.operators.agent.model.port import Block, Reply, Request, Sink
from avo_tui.operators.agent.model.prices import Price, Pricing
from avo_tui.operators.agent.model.stream import read_answer
from avo_tui.operators.agent.settings import AgentSettings

log = logging.getLogger(__name__)

CONTEXT_BETA = "context-management-2025-06-27"
FALLBACK_BETA = "server-side-fallback-2026-07-01"
BINDING_BETA = "thinking-binding-controls-2026-08-01"
DISPLAY_BETA = "thinking-display-updates-2026-08-18"

STRICT = frozenset({
    "write_file", "replace_text", "apply_diff", "remember", "submit",
})  # fmt: skip
"""Tools that carry sources and long texts, whose arguments the API holds to their schema. It does
so for few: together they may have 24 optional arguments, and none an object with free names."""

LIMITS_SECONDS = 10.0
"""How long the first request waits for what the model's limits are."""


class AnthropicModel:
    """A model served by Anthropic's API, by a cloud, or by any server with a compatible API."""

    def __init__(self, settings: AgentSettings) -> None:
        """Raises ValueError, with one sentence, if the client cannot be created."""
        self._settings = settings
        self._sent: set[str] = set()
        """Keys and tokens that were sent so far."""
        self._client = make_client(settings, self._sent)
        self._pricing = Pricing(settings, self.endpoint)
        self.name = settings.model
        self.features = Features(self._features())
        self._official = settings.provider == "anthropic" and is_official(self.endpoint)
        self._most_output: int | None = None
        """Largest number of output tokens of the model; None until the endpoint has said it."""
        self._limits_asked = not self._official

    def _features(self) -> set[Feature]:
        settings = self._settings
        first_party = settings.provider != "anthropic" or is_official(self.endpoint)
        features: set[Feature] = set()
        if settings.effort != "default":
            features.add("effort")
        if settings.thinking != "off":
            features |= {"thinking", "display"}
        if settings.thinking == "budget":
            features.add("budget")
        if settings.provider == "foundry" or is_official(self.endpoint):
            features.add("system messages")
            if settings.thinking != "off":
                features.add("block binding")
        if is_official(self.endpoint):
            features |= {"strict tools", "cache diagnostics"}
        if settings.cache:
            features.add("cache")
            if settings.cache_ttl == "1h" or (settings.cache_ttl == "auto" and first_party):
                features.add("1h cache")
        if settings.context_editing == "server" or (
            settings.context_editing == "auto" and first_party
        ):
            features.add("context editing")
        if settings.fallbacks:
            features.add("fallbacks")
        features |= {"structured output", "earlier thinking"}
        return features

    @property
    def endpoint(self) -> str:
        return endpoint_of(self._client)

    @property
    def reviews(self) -> bool:
        return True

    @property
    def checks_signatures(self) -> bool:
        """Anthropic's API and the clouds check them; other servers have none."""
        return self._settings.provider != "anthropic" or is_official(self.endpoint)

    @property
    def pricing(self) -> Pricing:
        return self._pricing

    def credentials(self) -> list[str]:
        return [*secrets_of(self._client), *self._sent]

    def has_credentials(self) -> bool:
        """True if the SDK found a key, a token or a profile, or a cloud has its own."""
        return has_credentials(self._client)

    def renew(self) -> str:
        """Create the client again, with the current content of the key file.

        Without a key file, the engine cannot see a changed key in the environment. The returned
        sentence says what the person must do; empty if nothing is needed.
        """
        if self._settings.api_key_file is not None:
            try:
                file_key(self._settings)
                self._client = make_client(self._settings, self._sent)
            except ValueError as error:
                return f"{error}."
            return f"The key is read again from {self._settings.api_key_file} on resume."
        if self._settings.provider != "anthropic":
            self._client = make_client(self._settings, self._sent)
            return "The cloud's credentials are looked for again on resume."
        return (
            "The engine keeps the environment it was started in, so a new key reaches it only"
            " through a new engine: `avo stop NAME`, set ANTHROPIC_API_KEY in this shell,"
            " `avo run --resume NAME`. With the option api_key_file the key is read again on"
            " resume."
        )

    def relative_price(self) -> Price:
        return self._pricing.relative()

    def spend(self, usage: Mapping[str, Any], model: str = "") -> Spend:
        return self._pricing.spend(usage, model)

    def remarks(self) -> list[str]:
        """Sentences about prices that do not come from the price list."""
        return (
            [] if self._pricing.known else [f"The cost of {self.name} is {self._pricing.source}."]
        )

    def parameters(self, max_tokens: int | None = None) -> dict[str, Any]:
        """The request parameters other than messages, tools and system prompt.

        `max_tokens` is used if it is lower than the setting; the budget for thinking must fit into
        it.
        """
        settings = self._settings
        given: dict[str, Any] = {}
        if "effort" in self.features:
            given["output_config"] = {"effort": settings.effort}
        if "thinking" in self.features:
            thinking: dict[str, Any] = {"type": "adaptive"}
            if "budget" in self.features:
                budget = min(settings.thinking_budget, (max_tokens or settings.max_tokens) - 1)
                thinking = {"type": "enabled", "budget_tokens": max(1024, budget)}
            if "display" in self.features:
                thinking["display"] = settings.display
            if "block binding" in self.features:
                thinking["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
            given["thinking"] = thinking
        return given

    async def reply(self, request: Request, sink: Sink) -> Reply:
        try:
            await self._ask_limits()
            return await read_answer(
                self._client, self.arguments(request), self._settings, request, sink
            )
        except Exception as error:
            fault = classify(error)
            if fault is error:
                raise
            raise fault from error

    async def _ask_limits(self) -> None:
        """Ask once what the model can: what it cannot is then never sent. Nothing depends on the
        answer; what else an endpoint does not take is learned from what it refuses."""
        if self._limits_asked:
            return
        self._limits_asked = True
        try:
            models = cast("anthropic.AsyncAnthropic", self._client).beta.models
            model = await models.retrieve(self.name, timeout=LIMITS_SECONDS)
        except Exception as error:  # whatever is wrong, the request itself tells
            log.info("the limits of %s are not known: %s", self.name, error)
            return
        self._most_output = model.max_tokens
        if (can := model.capabilities) is None:
            return
        types = can.thinking.types
        if not types.adaptive.supported and "thinking" in self.features:
            self.features.in_use.add("budget")
        lacking: dict[Feature, bool] = {
            "effort": not can.effort.supported,
            "thinking": not (types.adaptive.supported or types.enabled.supported),
            "budget": not types.enabled.supported,
            "structured output": not can.structured_outputs.supported,
            "strict tools": not can.structured_outputs.supported,
            "context editing": not can.context_management.supported,
        }
        self.features.forgo(feature for feature, lacks in lacking.items() if lacks)

    def arguments(self, request: Request) -> dict[str, Any]:
        most = min(request.max_tokens, self._most_output or request.max_tokens)
        arguments: dict[str, Any] = {
            "model": self._settings.model,
            "max_tokens": most,
            "system": request.system,
            "messages": request.messages,
            **self.parameters(most),
        }
        if request.tools:
            strict = STRICT if "strict tools" in self.features else frozenset()
            arguments["tools"] = [_strict(t) if t["name"] in strict else t for t in request.tools]
        if "cache diagnostics" in self.features and not request.plain:
            arguments["diagnostics"] = {"previous_message_id": request.previous or None}
        if request.schema is not None and "structured output" in self.features:
            output = dict(arguments.get("output_config", {}))
            output["format"] = {"type": "json_schema", "schema": request.schema}
            arguments["output_config"] = output
        if "cache" not in self.features:
            arguments = _without_key(arguments, "cache_control")
        elif "1h cache" not in self.features:
            arguments = _without_key(arguments, "ttl", inside="cache_control")
        if self._settings.extra_body:
            arguments["extra_body"] = json.loads(self._settings.extra_body)
        betas = []
        if "block binding" in self.features:
            betas.append(BINDING_BETA)
        if "display" in self.features and self._settings.display == "updates":
            betas.append(DISPLAY_BETA)
        if "context editing" in self.features and request.keep_results is not None:
            betas.append(CONTEXT_BETA)
            arguments["context_management"] = {"edits": [_clearing(request.keep_results)]}
        if "fallbacks" not in self.features:
            arguments["messages"] = _without_fallbacks(arguments["messages"])
        else:
            betas.append(FALLBACK_BETA)
        if "fallbacks" in self.features and not request.plain:
            names = [n.strip() for n in self._settings.fallbacks.split(",") if n.strip()]
            arguments["fallbacks"] = (
                "default" if names == ["default"] else [{"model": n} for n in names]
            )
        if betas:
            arguments["betas"] = betas
        return arguments

    async def close(self) -> None:
        await self._client.close()


def _without_fallbacks(messages: list[Block]) -> list[Block]:
    """The messages without the marks of other models' answers, which belong to the feature."""
    return [
        {**m, "content": [b for b in m["content"] if b["type"] != "fallback"]} for m in messages
    ]


def _strict(tool: Block) -> Block:
    schema = anthropic.transform_schema(tool["input_schema"])
    return {**tool, "strict": True, "input_schema": schema}


def _clearing(keep: int) -> Block:
    """Instruct the server to clear all tool uses except the newest `keep`, including their inputs.

    The local policy decides when and how much to clear, since it knows the cost of the cache. So
    the server gets a trigger that is always met, and the boundary stays where it was set.
    """
    return {
        "type": "clear_tool_uses_20250919",
        "trigger": {"type": "input_tokens", "value": 1},
        "keep": {"type": "tool_uses", "value": keep},
        "clear_tool_inputs": True,
    }


def _without_key(value: Any, key: str, inside: str | None = None) -> Any:
    """`value` without any member named `key`; with `inside`, only within members of that name."""
    if isinstance(value, dict):
        result = {}
        for k, v in value.items():
            if inside is None and k == key:
                continue
            if inside is not None and k == inside and isinstance(v, dict):
                v = {name: item for name, item in v.items() if name != key}
            result[k] = v if k == "input" else _without_key(v, key, inside)
        return result
    if isinstance(value, list):
        return [_without_key(v, key, inside) for v in value]
    return value
