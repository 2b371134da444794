"""Tests an endpoint with one small request: whether it answers, what it supports, what it costs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from avo_tui.domain.plain import plain
from avo_tui.operators.agent.model.endpoint import AnthropicModel
from avo_tui.operators.agent.model.faults import Fault
from avo_tui.operators.agent.model.features import Remedies
from avo_tui.operators.agent.model.port import NO_KEY, Reply, Request
from avo_tui.operators.agent.settings import AgentSettings

QUESTION = "Call the tool `ready` with the number 7. Write nothing else."
TOOL = {
    "name": "ready",
    "description": "Says that you are ready.",
    "input_schema": {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
    },
}
MOST_TOKENS = 2_000
"""Largest number of output tokens of the answer, including thinking."""
MOST_TRIES = 10


@dataclass(frozen=True)
class ProbeResult:
    """One finding about the endpoint."""

    state: Literal["ok", "warn", "fail"]
    sentence: str


class _Silent:
    """A sink that ignores the streamed answer."""

    def text(self, block: int, text: str, thinking: bool) -> None: ...
    def arguments(self, characters: int) -> None: ...
    def end(self, block: int) -> None: ...
    def usage(self, usage: Mapping[str, Any]) -> None: ...


async def probe(settings: AgentSettings) -> list[ProbeResult]:
    """Ask the endpoint as the agent would; an error of the endpoint is a result, never raised."""
    own = settings.model_copy(
        update={"max_tokens": min(settings.max_tokens, MOST_TOKENS), "answer_timeout": 120.0}
    )
    try:
        model = AnthropicModel(own)
    except ValueError as error:
        return [ProbeResult("fail", str(error))]
    try:
        if not model.has_credentials():
            return [ProbeResult("fail", NO_KEY)]
        return await _ask(model, own)
    finally:
        await model.close()


async def _ask(model: AnthropicModel, settings: AgentSettings) -> list[ProbeResult]:
    answers = [ProbeResult("ok", f"{settings.provider}: {model.endpoint}, model {model.name}")]
    mark = {"type": "ephemeral", "ttl": "1h"}
    question = {"type": "text", "text": QUESTION, "cache_control": mark}
    request = Request(
        system=[],
        tools=[TOOL],
        messages=[{"role": "user", "content": [question]}],
        max_tokens=settings.max_tokens,
    )
    ladder, usd = Remedies(model.features), 0.0
    for _ in range(MOST_TRIES):
        began = time.monotonic()
        try:
            reply = await model.reply(request, _Silent())
        except Fault as fault:
            rejected = fault.kind == "rejected"
            if rejected and ladder.next(fault.sentence, thinks=False) in {"without", "ask again"}:
                continue
            return [*answers, ProbeResult("fail", f"{plain(fault.sentence, 600)}.")]
        usd += model.spend(reply.usage, reply.model).usd
        seconds = time.monotonic() - began
        return [*answers, *_learned(model, reply, seconds, usd)]
    return [*answers, ProbeResult("fail", "it refuses every form of the question")]


def _learned(model: AnthropicModel, reply: Reply, seconds: float, usd: float) -> list[ProbeResult]:
    calls = [b for b in reply.content if b.get("type") == "tool_use"]
    right = [b for b in calls if b.get("name") == "ready" and b.get("input") == {"number": 7}]
    answers = [
        ProbeResult("ok", f"answered in {seconds:.1f} s as {reply.model or 'an unnamed model'}")
    ]
    if right:
        answers.append(ProbeResult("ok", "calls tools, with arguments as asked"))
    elif calls:
        answers.append(
            ProbeResult("warn", f"called a tool, but not as asked: {str(calls[0])[:200]}")
        )
    else:
        answers.append(
            ProbeResult(
                "fail", "called no tool: a model that cannot call tools cannot be the agent"
            )
        )
    taken = sorted(
        model.features.in_use - {"structured output", "context editing", "earlier thinking"}
    )
    answers.append(ProbeResult("ok", f"takes: {', '.join(taken) or 'nothing beside the basics'}"))
    if gone := model.features.suspended:
        answers.append(ProbeResult("warn", f"rejects: {', '.join(gone)}; the agent goes without"))
    counts = {k: v for k, v in reply.usage.items() if k.endswith("_tokens") and v}
    if counts:
        answers.append(ProbeResult("ok", ", ".join(f"{k} {v}" for k, v in counts.items())))
    else:
        answers.append(ProbeResult("warn", "reports no usage, so nothing can be counted or capped"))
    source = model.pricing.source
    answers.append(
        ProbeResult("ok" if model.pricing.known else "warn", f"cost ${usd:.6f}; price: {source}")
    )
    return answers
