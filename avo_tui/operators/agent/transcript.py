"""Records a step's conversation; each part is recorded before it can be sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from avo_tui.domain.events import MessageRecorded, ModelStatusChanged, TroubleNoted
from avo_tui.domain.secrets import Redact, redact_json
from avo_tui.operators.agent.conversation.heal import Healed
from avo_tui.operators.agent.conversation.turns import Conversation, Turn, message_body
from avo_tui.operators.agent.model.port import Block, Reply, Request
from avo_tui.operators.agent.model.prices import context_tokens
from avo_tui.operators.ports import Workbench
from avo_tui.operators.toolbox.tool import first_lines


class Transcript:
    """The conversation of one step, together with its record in the journal."""

    def __init__(self, bench: Workbench, talk: Conversation, redact: Redact) -> None:
        self.bench = bench
        self.talk = talk
        self.redact = redact
        events = bench.reading.step_events()
        self.requests = sum(isinstance(e, MessageRecorded) and e.role == "request" for e in events)
        """Number of requests and context changes in this step so far; numbers the next one."""
        self._degraded: tuple[str, ...] | None = None

    def begin(self, model: str, system: list[Block], tools: list[Block]) -> None:
        self.talk.system, self.talk.tools, self.talk.model = system, tools, model
        body = {"model": model, "system": system, "tools": tools}
        self._keep("system", body, f"system prompt and {len(tools)} tools")

    def say(self, text: str, purpose: str, told: Sequence[str] = ()) -> None:
        """Add a text from this program to the conversation."""
        text = self.redact(text)
        body = {"text": text, "purpose": purpose, "told": list(told)}
        self._keep("user", body, f"{purpose}: {first_lines(text, 1)}")
        self.talk.say(text, purpose, told)

    def request(self, request: Request, model: str, parameters: Mapping[str, object]) -> None:
        """Record that the model is asked, with the parameters and a digest of the messages."""
        self.requests += 1
        text = json.dumps(request.messages, ensure_ascii=False)
        tokens = self.talk.tokens()
        body = {
            "kind": "request",
            "model": model,
            "max_tokens": request.max_tokens,
            "parameters": dict(parameters),
            "messages": len(request.messages),
            "sha256": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
            "estimated_tokens": tokens,
        }
        what = f"request {self.requests}: {len(request.messages)} messages, ~{tokens} tokens"
        self._keep("request", body, what, awaits_answer=True)

    def answer(self, reply: Reply, healed: Healed) -> Turn:
        """Add an answer that was made valid."""
        body = message_body(reply, healed)
        for name in ("stop_reason", "usage", "model", "id"):  # what is said was redacted before
            body[name] = redact_json(body[name], self.redact)
        tools = ", ".join(str(b["name"]) for b in healed.content if b["type"] == "tool_use")
        self._keep("assistant", body, f"{reply.stop_reason}: {tools or 'prose'}")
        turn = self.talk.answered(body)
        if tokens := context_tokens(reply.usage):
            self.talk.counted(tokens)
        return turn

    def clear(
        self, calls: Sequence[str], *, strip_thinking: bool, by_server: bool, model: str = ""
    ) -> None:
        """Clear arguments and answers of these calls, and thinking that depends on them.

        `model` is the model that continues the conversation, if it changes at this point.
        """
        body = {
            "model": model,
            "kind": "cleared",
            "calls": list(calls),
            "strip_thinking": strip_thinking,
            "by_server": by_server,
        }
        what = f"{len(calls)} tool uses cleared" if calls else "thinking left out"
        if model:
            what += f"; the model is {model} from here on"
        self._keep("request", body, f"context: {what}")
        self.talk.clear(calls, strip_thinking, by_server)
        self.talk.model = model or self.talk.model

    def compact(self, text: str) -> None:
        body = {"kind": "compacted", "text": self.redact(text)}
        self._keep("request", body, "context: replaced by a summary")
        self.talk.compact(body["text"])

    def trouble(self, where: str, message: str) -> None:
        self.bench.recording.record(TroubleNoted(where=where, message=self.redact(message)[:2000]))

    def degraded(self, features: Sequence[str], cause: str) -> None:
        now = tuple(features)
        if now == self._degraded or (self._degraded is None and not now):
            return
        self._degraded = now
        self.bench.recording.record(
            ModelStatusChanged(degraded=now, cause=self.redact(cause)[:500])
        )

    def _keep(
        self, role: str, body: Mapping[str, object], summary: str, awaits_answer: bool = False
    ) -> None:
        ref = self.bench.recording.keep(json.dumps(body, ensure_ascii=False))
        self.bench.recording.record(
            MessageRecorded.model_validate(
                {
                    "role": role,
                    "ref": ref,
                    "summary": self.redact(summary)[:300],
                    "awaits_answer": awaits_answer,
                }
            )
        )
