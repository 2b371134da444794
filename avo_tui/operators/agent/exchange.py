"""Sends requests to the model: keeps them within its context and handles every kind of error."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from avo_tui.domain.plain import plain
from avo_tui.operators.agent.bill import Bill
from avo_tui.operators.agent.conversation.chunks import Chunker
from avo_tui.operators.agent.conversation.heal import THINKING
from avo_tui.operators.agent.conversation.policy import ContextLimits, carried, decide
from avo_tui.operators.agent.model.bounds import shorter
from avo_tui.operators.agent.model.faults import FOR_THE_PERSON, Fault
from avo_tui.operators.agent.model.features import Remedies
from avo_tui.operators.agent.model.port import Block, Model, Reply, Request
from avo_tui.operators.agent.model.prices import Price, believable
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.agent.setup import Setup
from avo_tui.operators.agent.summary import Summary
from avo_tui.operators.agent.transcript import Transcript
from avo_tui.operators.agent.words import clean_text
from avo_tui.operators.ports import Interrupted, StepOutcome, Workbench
from avo_tui.operators.toolbox.tool import cut_middle

LEAST_OUTPUT = 1024
"""An answer limited to fewer output tokens than this cannot contain a useful tool call."""

MOST_OF_A_FAULT = 600
"""Largest number of characters of what is said of a fault."""

MOST_OF_A_SUMMARY = 16_000
"""Largest number of characters of the agent's own summary; it is asked for at most 900 words."""

SLOW = 240.0
"""Seconds between two requests above which the five-minute prompt cache is too short."""


class Exchange:
    """The requests of one step to the model."""

    def __init__(
        self,
        bench: Workbench,
        setup: Setup,
        transcript: Transcript,
        summary: Summary,
    ) -> None:
        self.bench = bench
        self._setup = setup
        self.transcript = transcript
        self.talk = transcript.talk
        self.refused: StepOutcome | None = None
        """Outcome of the step, set if the endpoint refuses the conversation after all remedies."""
        self._patience = setup.patience
        self._summary = summary
        self._ladder = Remedies(setup.model.features)
        self._too_long = False
        self.interrupted = False
        """Whether the person interrupted the last request."""
        self.given_up = False
        """Whether the endpoint refuses the last question beside the conversation in every form."""
        self._asked_at: float | None = None
        self._slow = False
        self._estimated = False
        """True once this step has reported that usage is estimated from the length of the
        answers."""

    @property
    def model(self) -> Model:
        return self._setup.model

    @property
    def settings(self) -> AgentSettings:
        return self._setup.settings

    @property
    def _limits(self) -> ContextLimits:
        settings = self.settings
        return ContextLimits(
            clear_at=settings.clear_at,
            compact_at=settings.compact_at,
            keep_results=settings.keep_results,
        )

    def settings_changed(self) -> None:
        """Forget what is known about the endpoint, because the model or its settings changed."""
        self._ladder = Remedies(self.model.features)
        self.transcript.degraded(self.model.features.suspended, "the settings were changed")

    # -- asking

    async def next_answer(self) -> Reply | None:
        """The next answer of the conversation; None if the caller must check its state and call
        again."""
        if not await self._fit():
            return None
        self.talk.rent += carried(self.talk, self._limits, self._price())
        return await self.ask(self._messages(), self.talk.tools)

    async def ask(
        self,
        messages: list[Block],
        tools: list[Block],
        *,
        system: list[Block] | None = None,
        plain: bool = False,
        schema: dict[str, Any] | None = None,
    ) -> Reply | None:
        """Send one request. Returns None if it failed and the caller must check its state again.

        Without `system`, the conversation's own system prompt is used. `plain` marks a request that
        is not part of the conversation.
        """
        bench = self.bench
        request = Request(
            system=self.talk.system if system is None else system,
            tools=tools,
            messages=messages,
            max_tokens=self.most_output,
            step=bench.reading.step,
            turn=self.talk.answers,
            plain=plain,
            keep_results=self._kept_by_server() if system is None else None,
            previous=self.talk.last_id,
            schema=schema,
        )
        self.interrupted = self.given_up = False
        self.transcript.request(request, self.model.name, self.model.parameters())
        self._time()
        name = f"{bench.reading.step}.{self.transcript.requests}"
        bill = Bill(self.model, bench.recording.spent)
        sink = Chunker(bench.recording.record, name, self.transcript.redact, begun=bill.begin)
        try:
            reply = await bench.control.interruptible(self.model.reply(request, sink))
        except Interrupted:
            self.interrupted = True
            self._spent_in_part(sink, bill)
            return None
        except Fault as fault:
            paid = self._spent_in_part(sink, bill)
            await self._deal_with(fault, paid=paid, beside=system is not None)
            return None
        finally:
            sink.flush()
        return self._received(reply, sink, bill)

    def _received(self, reply: Reply, sink: Chunker, bill: Bill) -> Reply:
        """Count an answer, and schedule the next try of features that were suspended long
        enough."""
        self._patience.succeeded()
        self._ladder.answered()
        self._too_long = False
        if due := self.model.features.answered():
            words = f"{', '.join(due)}: tried again"
            self.transcript.degraded(self.model.features.suspended, words)
        if reply.cache_miss:
            self.transcript.trouble("cost", f"the prompt cache was missed: {reply.cache_miss}")
        usage = self._believed(reply.usage, sink)
        bill.settle(usage, reply.model)
        return Reply(**{**reply.__dict__, "usage": usage})

    def _messages(self, *, apart: bool = True) -> list[Block]:
        return self.talk.messages(
            self.settings.cache,
            stubs=self._kept_by_server() is None,
            long=self._slow,
            apart=apart and "system messages" in self.model.features,
        )

    def _kept_by_server(self) -> int | None:
        """Number of tool uses the server is to keep; None if it does not clear or nothing was
        cleared."""
        if "context editing" not in self.model.features or self.talk.stubbed:
            return None
        return self.talk.kept_uses if self.talk.anchors else None

    def _time(self) -> None:
        """Detect tools that take longer than the lifetime of the short cache."""
        now = time.monotonic()
        if self._asked_at is not None and now - self._asked_at > SLOW:
            self._slow = True
        self._asked_at = now

    def _price(self) -> Price:
        return self.model.relative_price()

    def overflowed(self) -> None:
        """Note that the answer filled the model's context, so something must be cleared first."""
        self._too_long = True

    # -- staying within the context

    async def _fit(self) -> bool:
        """Clear or summarise if that is worthwhile or necessary. Returns False if the model was
        asked for a summary, so that the caps are to be checked before it is asked again."""
        talk = self.talk
        by_server = "context editing" in self.model.features and not talk.stubbed
        if talk.anchors and not by_server and not talk.stubbed:
            # The server did the clearing until now and no longer does: from here on it is done
            # locally.
            self._clear((), by_server=False)
        decision = decide(talk, self._limits, self._price(), refused=self._too_long)
        if decision.action == "nothing":
            return True
        if decision.action == "clear":
            self._clear(decision.calls, by_server=by_server)
            return True
        if self._too_long:
            self._compact(self._summary.mechanical())
            return True
        text = await self._own_summary()
        if text is not None:
            self._compact(text or self._summary.mechanical())
        return False

    def _clear(self, calls: tuple[str, ...], *, by_server: bool) -> None:
        kept = self.settings.thinking == "budget" or "block binding" in self.model.features
        strip = not by_server and not kept
        self.transcript.clear(calls, strip_thinking=strip, by_server=by_server)

    def _compact(self, text: str) -> None:
        self.transcript.compact(self._summary.continuation(text))
        self._too_long = False

    async def _own_summary(self) -> str | None:
        """The agent's own summary, empty if it wrote none; None if there was no answer."""
        messages = self._messages(apart=False)
        question = {"type": "text", "text": self._summary.question()}
        if messages[-1]["role"] == "user":
            messages[-1] = {"role": "user", "content": [*messages[-1]["content"], question]}
        else:
            messages.append({"role": "user", "content": [question]})
        reply = await self.ask(messages, self.talk.tools, plain=True)
        if reply is None:
            return None
        texts = [str(b.get("text", "")) for b in reply.content if b.get("type") == "text"]
        return cut_middle(clean_text("\n".join(texts)).strip(), MOST_OF_A_SUMMARY)

    # -- errors

    async def _deal_with(self, fault: Fault, *, paid: bool, beside: bool) -> None:
        """Handle a failed request: wait, switch off a feature, or ask the person.

        `paid`: a part of the answer had come. `beside`: it was not part of the conversation.
        """
        transcript = self.transcript
        sentence = plain(transcript.redact(fault.sentence), MOST_OF_A_FAULT)
        if self._shorten(fault):
            transcript.trouble(
                "model", f"{sentence}; asked again for at most {self.most_output} tokens"
            )
        elif fault.kind == "context":
            transcript.trouble("model", sentence)
            self._too_long = True
            if self._patience.breaks(fault, paid):
                await self._pause(f"{sentence.rstrip('.')}. {self._advice(fault)}")
        elif fault.kind in FOR_THE_PERSON:
            text = f"{sentence.rstrip('.')}. {self._advice(fault)}".strip()
            transcript.trouble("model", text)
            await self._pause(text)
            self.model.renew()
        elif fault.kind == "rejected":
            await self._remedy(fault, sentence, beside)
        else:
            transcript.trouble("model", sentence)
            if self._patience.breaks(fault, paid):
                cost = ", each of them paid" if paid else ""
                count = f"{self._patience.broken} faults in a row{cost}"
                await self._pause(f"{count}, the last: {sentence}; resume asks again")
            else:
                await self.bench.control.park(self._patience.wait(fault), sentence)

    @property
    def most_output(self) -> int:
        """Largest number of output tokens to ask for: the setting, or less if the endpoint allows
        less."""
        return min(self.settings.max_tokens, self._setup.most_output or self.settings.max_tokens)

    def _shorten(self, fault: Fault) -> bool:
        """Ask for shorter answers, if the endpoint says that it cannot produce such long ones."""
        if fault.kind not in {"rejected", "context"}:
            return False
        lower = shorter(fault.sentence, self.most_output, self.talk.grown)
        if lower is None or lower < LEAST_OUTPUT:
            return False
        self._setup.most_output = lower
        return True

    def _advice(self, fault: Fault) -> str:
        if fault.kind == "auth":
            return self.model.renew()
        if fault.kind == "model":
            return f"Check the model's name ({self.model.name}) and the address."
        if fault.kind == "context":
            return (
                f"All that can be left out is, and about {self.talk.tokens()} tokens remain: take a"
                f" model with a larger context, or a lower max_tokens (now {self.most_output})"
            )
        return ""

    async def _remedy(self, fault: Fault, sentence: str, beside: bool) -> None:
        transcript, features = self.transcript, self.model.features
        remedy = self._ladder.next(fault.sentence, thinks=self.talk.thinks)
        transcript.degraded(features.suspended, sentence)
        if remedy == "without":
            gone = ", ".join(self._ladder.probed)
            transcript.trouble("model", f"{sentence}; asked again without {gone}")
        elif remedy == "ask again":
            transcript.trouble("model", sentence)
            await self.bench.control.park(self._patience.wait(fault), sentence)
        elif beside:
            transcript.trouble("model", f"{sentence}; this question is given up")
            self._ladder.answered()
            self.given_up = True
        elif remedy == "go on":
            transcript.say("Go on.", "nudge")
        elif remedy == "strip thinking":
            transcript.trouble("model", f"{sentence}; asked again without earlier thinking")
            transcript.clear((), strip_thinking=True, by_server=False)
            if not self.model.checks_signatures:
                self._ladder.probed = features.suspend(["earlier thinking"])
        elif remedy == "summarise":
            transcript.trouble("model", f"{sentence}; the conversation is replaced by a summary")
            self._compact(self._summary.mechanical())
        else:
            transcript.trouble("model", f"{sentence}; nothing that was tried helps")
            self.refused = StepOutcome(
                outcome="nothing", reason=f"the endpoint refuses the conversation: {sentence}"
            )
            self._ladder.answered()
            self._setup.most_output = None  # shorter answers did not help either

    async def _pause(self, sentence: str) -> None:
        await self.bench.control.pause_for(sentence)
        self._patience.forgive()

    # -- cost

    def _believed(self, usage: Mapping[str, Any], sink: Chunker) -> dict[str, Any]:
        """The usage of an answer, or an estimate if the reported one cannot be true."""
        if believable(usage):
            return dict(usage)
        if not self._estimated:
            self._estimated = True
            self.transcript.trouble(
                "cost",
                "the server's usage cannot be true, so such answers are counted from their length:"
                f" {json.dumps(usage, default=str)}",
            )
        return {"input_tokens": self.talk.tokens(), "output_tokens": sink.characters // 4}

    def _spent_in_part(self, sink: Chunker, bill: Bill) -> bool:
        """Record the cost of an interrupted answer: as reported by the server, else estimated.
        False if nothing of it had come."""
        if not sink.last_usage and not sink.characters:
            return False
        usage = dict(sink.last_usage) or {"output_tokens": None}
        if not believable(usage):
            usage = {"input_tokens": self.talk.tokens()}
        usage["output_tokens"] = max(int(usage.get("output_tokens") or 0), sink.characters // 4)
        bill.settle(usage)
        return True


def useful(content: list[Block]) -> list[Block]:
    """The blocks of an answer that say or do something."""
    return [b for b in content if b["type"] not in {*THINKING, "fallback"}]
