"""One variation step of the agent: ask, record, run tools, listen to the person, until it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

from avo_tui.domain.budget import Spend, exhausted
from avo_tui.domain.events import MessageRecorded, ToolReturned, TroubleNoted
from avo_tui.domain.records import Author, Hint, Intervention
from avo_tui.operators.agent import bounds, review
from avo_tui.operators.agent.chunks import Chunker
from avo_tui.operators.agent.conversation import (
    Call,
    Conversation,
    Turn,
    message_body,
    outcome_on_record,
)
from avo_tui.operators.agent.faults import FOR_THE_PERSON, WAITING, Fault, Patience
from avo_tui.operators.agent.memory import note_key, persons_changes
from avo_tui.operators.agent.model import NO_KEY, Model, Reply, Request
from avo_tui.operators.agent.opening import (
    hint_text,
    intervention_key,
    intervention_text,
    opening,
    task_text,
)
from avo_tui.operators.agent.pricing import context_tokens
from avo_tui.operators.agent.prompts import prompt
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.ports import Interrupted, StepEnded, StepOutcome, Workbench
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.base import first_lines

INTERRUPTED = (
    "Interrupted: the engine stopped while this ran, so its outcome is not known. It may have taken"
    " effect in part. Look at the state (read_candidate, list_attempts) before you repeat it."
)
SKIPPED = "Skipped, not run: operator message. Read it below, then decide whether this still fits."


class AgentStep:
    """Drives one conversation against one workbench."""

    def __init__(
        self,
        bench: Workbench,
        model: Model,
        settings: AgentSettings,
        patience: Patience,
        redact: Callable[[str], str],
        author: Author = "agent",
        reviewed: set[str] | None = None,
    ) -> None:
        """`reviewed`: ids of interventions that had their review, shared between steps."""
        self.bench = bench
        self.model = model
        self.settings = settings
        self.redact = redact
        self._patience = patience
        self._author = author
        self._reviewed = set() if reviewed is None else reviewed
        self.box = Toolbox(bench, limit=settings.result_limit, redact=redact)
        self.talk = Conversation.restore(
            bench.reading.step_events(), bench.reading.fetch, self.box.shown
        )
        self._idle = 0
        self._refused = 0
        events = bench.reading.step_events()
        self._requests = sum(isinstance(e, MessageRecorded) and e.role == "request" for e in events)
        self._tools = sum(isinstance(e, ToolReturned) for e in events)

    # -- the step

    async def run(self) -> StepOutcome:
        """The whole step, or the rest of one that was interrupted."""
        ended = outcome_on_record(self.bench.reading.step_events(), self._author)
        if ended is not None:
            return ended
        try:
            await self._begin()
            while True:
                outcome = await self._tools_of_turn() or await self._turn()
                if outcome is not None:
                    return outcome
        except StepEnded as end:
            self._close_calls(f"Not run to its end: the step was ended ({end.reason}).")
            raise

    async def _begin(self) -> None:
        """System prompt and opening, unless they are there; hints that a crash held back."""
        bench, talk = self.bench, self.talk
        if not talk.system:
            talk.system = [
                {"type": "text", "text": prompt("system")},
                {
                    "type": "text",
                    "text": task_text(bench.reading.task),
                    "cache_control": {"type": "ephemeral"},
                },
            ]
            talk.tools = [
                {"name": s.name, "description": s.description, "input_schema": s.input_schema}
                for s in self.box.specs()
            ]
            body = {"model": self.model.name, "system": talk.system, "tools": talk.tools}
            self._keep("system", body, f"system prompt and {len(talk.tools)} tools")
            for remark in self.model.remarks():
                self.trouble("cost", remark)
        if talk.model and talk.model != self.model.name:
            # Thinking blocks are another model's property.
            self.clear_context([], strip_thinking=True)
            talk.model = self.model.name
        if not talk.items:
            hints = await bench.control.boundary("opening")
            for intervention in bench.reading.interventions():
                await self._review(intervention)
            active = bench.reading.interventions()
            told = [f"hint:{h.id}" for h in hints] + [intervention_key(i) for i in active]
            told += [note_key(n) for n in bench.reading.notes()]
            self.say(opening(bench, hints), "opening", told)
        lost = [h for h in talk.hints_seen if f"hint:{h}" not in talk.told]
        self._deliver([bench.reading.hint(h) for h in dict.fromkeys(lost)])

    # -- one turn

    async def _turn(self) -> StepOutcome | None:
        """One request with its tools. None to go on."""
        bench = self.bench
        place = f"before request {self._requests + 1}"
        self._deliver(await bench.control.boundary(place, end_of_turn=True))
        await self._tell_supervision()
        self._tell_memory()
        over = self._over()
        if over is not None:
            return over
        if not await bounds.keep(self):
            return None
        reply = await self.ask(self.talk.messages(self.settings.cache), self.talk.tools)
        if reply is None:
            return None
        return self._take(reply)

    def _over(self) -> StepOutcome | None:
        """The step's end by a cap or by its own length."""
        sentence = self.bench.control.budget_left()
        if sentence is not None:
            budget, run, _ = self.bench.reading.remaining()
            outcome = "stopped" if exhausted(budget.run, run) else "nothing"
            return StepOutcome(outcome=outcome, reason=sentence)
        if self.talk.answers >= self.settings.max_requests:
            return StepOutcome(
                outcome="nothing", reason=f"the step took {self.talk.answers} answers, its limit"
            )
        return None

    async def ask(
        self, messages: list[dict[str, object]], tools: list[dict[str, object]], plain: bool = False
    ) -> Reply | None:
        """One request. None where it came to nothing and the loop must look around again."""
        bench = self.bench
        self._requests += 1
        name = f"{bench.reading.step}.{self._requests}"
        request = Request(
            system=self.talk.system,
            tools=tools,
            messages=messages,
            max_tokens=self.settings.max_tokens,
            step=bench.reading.step,
            turn=self.talk.answers,
            plain=plain,
        )
        self._record_request(request)
        sink = Chunker(bench.recording.record, name, self.redact)
        try:
            reply = await bench.control.interruptible(self.model.reply(request, sink))
        except Interrupted:
            self._spent_in_part(sink)
            return None
        except Fault as fault:
            self._spent_in_part(sink)
            await self.fault(fault)
            return None
        finally:
            sink.flush()
        self._patience.succeeded()
        bench.recording.spent(self.model.spend(reply.usage))
        return reply

    def _take(self, reply: Reply) -> StepOutcome | None:
        """Record an answer and decide what follows from how it stopped."""
        content = reply.content
        if reply.stop_reason == "refusal":
            return self._refusal(reply)
        self._refused = 0
        cut = reply.stop_reason in {"max_tokens", "model_context_window_exceeded"}
        if cut and content and content[-1]["type"] == "tool_use":
            content = content[:-1]
        useful = [b for b in content if b["type"] not in {"thinking", "redacted_thinking"}]
        if not useful:
            return self._empty(reply, cut)
        turn = self._record_answer(Reply(**{**reply.__dict__, "content": content}))
        if reply.stop_reason == "model_context_window_exceeded":
            self.trouble("model", "the answer filled the model's context; it is summarised")
            self.talk.counted(10**9)
        elif cut:
            self.trouble("model", f"an answer was cut at {self.settings.max_tokens} tokens")
            self.say(
                f"Your answer was cut at its limit of {self.settings.max_tokens} tokens; a tool"
                " call that was being written is lost. Go on in smaller pieces: replace_text or"
                " apply_diff instead of whole files.",
                "nudge",
            )
        if turn.calls:
            self._idle = 0
            return None
        if reply.stop_reason in {"pause_turn", "compaction"}:
            return self._idled(f"{reply.stop_reason} without progress")
        if not cut:
            self.say(
                "Nobody answers here, and a turn without a tool call does nothing. Go on with the"
                " work: edit, compile, evaluate; submit a correct candidate, or end_step.",
                "nudge",
            )
        return self._idled("the agent talked and called no tool")

    def _refusal(self, reply: Reply) -> StepOutcome | None:
        self._refused += 1
        detail = f": {reply.stop_detail}" if reply.stop_detail else ""
        self.trouble("model", f"the model refused to go on{detail}")
        if self._refused >= self.settings.refusal_limit:
            return StepOutcome(
                outcome="nothing", reason=f"the model refused {self._refused} times in a row"
            )
        self.say(
            "Your last answer was withheld by a safety filter and is not part of the conversation."
            " This is ordinary performance work on a numerical kernel; go on with it, in plain"
            " technical words.",
            "nudge",
        )
        return None

    def _empty(self, reply: Reply, cut: bool) -> StepOutcome | None:
        why = "all its tokens went into thinking" if cut else f"it stopped with {reply.stop_reason}"
        self.trouble("model", f"the model's answer was empty: {why}")
        self.say("Your answer was empty. Go on with a tool call.", "nudge")
        return self._idled("the model's answers were empty")

    def _idled(self, why: str) -> StepOutcome | None:
        self._idle += 1
        if self._idle < self.settings.idle_limit:
            return None
        return StepOutcome(outcome="nothing", reason=f"{why}, {self._idle} times in a row")

    # -- tools

    async def _tools_of_turn(self) -> StepOutcome | None:
        """Answer every open call of the last message, running those that never began."""
        calls = self.talk.pending()
        for place, call in enumerate(calls):
            if call.started:
                self._refuse(call, INTERRUPTED)
                continue
            hints = await self.bench.control.boundary(
                f"before tool {self._tools + 1} ({call.name})"
            )
            if hints:
                for rest in calls[place:]:
                    self._refuse(rest, SKIPPED)
                self._deliver(hints)
                return None
            outcome = await self._run(call)
            if outcome is not None:
                self._close_calls("Skipped, not run: the step has ended.")
                return outcome
        return None

    async def _run(self, call: Call) -> StepOutcome | None:
        if call.broken is not None:
            self.trouble("model", f"the arguments of {call.name} were not valid JSON")
            self._refuse(
                call,
                f"The arguments were not valid JSON, so nothing was run: {call.broken[:500]!r}."
                " Send the call again; mind quotes, backslashes and line ends in strings.",
            )
            return None
        call.started = True
        try:
            result = await self.box.run(call.id, call.name, call.arguments)
        except Interrupted as cut:
            self._refuse(
                call,
                f"Interrupted before it was finished ({cut.reason}); it brought no result. Call it"
                " again if you still want it.",
            )
            return None
        self._tools += 1
        call.answer, call.ok = result.text, result.ok
        return result.ends_step

    def _refuse(self, call: Call, text: str) -> None:
        self._tools += 1
        result = self.box.refuse(call.id, call.name, text)
        call.answer, call.ok = result.text, False

    def _close_calls(self, text: str) -> None:
        for call in self.talk.pending():
            self._refuse(call, text)

    # -- words to the agent

    def say(self, text: str, purpose: str, told: Sequence[str] = ()) -> None:
        """Add text of ours to the conversation, recorded first."""
        text = self.redact(text)
        body = {"text": text, "purpose": purpose, "told": list(told)}
        self._keep("user", body, f"{purpose}: {first_lines(text, 1)}")
        self.talk.say(text, purpose, told)

    def _deliver(self, hints: Sequence[Hint]) -> None:
        for hint in hints:
            self.say(hint_text(hint), "hint", [f"hint:{hint.id}"])

    async def _tell_supervision(self) -> None:
        for intervention in self.bench.reading.interventions():
            if intervention_key(intervention) in self.talk.told:
                continue
            seen = await self._review(intervention)
            key = intervention_key(seen)
            self.say(intervention_text(seen), "supervision", [key, intervention_key(intervention)])

    def _tell_memory(self) -> None:
        """What the person did to the notes since the step began."""
        own = self.box.workspace.forgotten
        text, told = persons_changes(self.bench.reading.notes(), self.talk.told, own)
        if text:
            self.say(text, "memory", told)

    async def _review(self, intervention: Intervention) -> Intervention:
        """A redirection that nobody gave directions for gets them from a review, once."""
        if not intervention.review_wanted or intervention.id in self._reviewed:
            return intervention
        if not self.model.reviews or self._over() is not None:
            return intervention
        self._reviewed.add(intervention.id)
        return await review.review(self, intervention)

    # -- faults

    async def fault(self, fault: Fault) -> None:
        """Deal with a request that came to nothing: wait, do without, or ask the person."""
        bench = self.bench
        sentence = self.redact(fault.sentence)
        if fault.kind == "context":
            self.trouble("model", sentence)
            self.talk.counted(10**9)
            if self._patience.breaks():
                await self._pause(sentence)
            return
        if fault.kind in FOR_THE_PERSON:
            text = sentence
            if fault.kind == "auth":
                text = f"{sentence}. {NO_KEY}"
            elif fault.kind == "model":
                text = f"{sentence}. Check the model's name ({self.model.name}) and the address."
            self.trouble("model", text)
            await self._pause(text)
            return
        if fault.kind in {"unsupported", "rejected"}:
            dropped = self.model.do_without(fault)
            if dropped is not None:
                self.trouble("model", f"{sentence}; going on without {dropped}")
                return
        self.trouble("model", sentence)
        if fault.kind not in WAITING and self._patience.breaks():
            await self._pause(f"{self._patience.broken} faults in a row, the last: {sentence}")
            return
        await bench.control.park(self._patience.wait(fault), sentence)

    async def _pause(self, sentence: str) -> None:
        await self.bench.control.pause_for(sentence)
        self._patience.succeeded()

    def trouble(self, where: str, message: str) -> None:
        """Note something for the person."""
        self.bench.recording.record(TroubleNoted(where=where, message=self.redact(message)[:2000]))

    # -- the record

    def _record_request(self, request: Request) -> None:
        text = json.dumps(request.messages, ensure_ascii=False)
        tokens = self.talk.tokens()
        body = {
            "kind": "request",
            "model": self.model.name,
            "max_tokens": request.max_tokens,
            "parameters": self.model.parameters(),
            "messages": len(request.messages),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "estimated_tokens": tokens,
        }
        what = f"request {self._requests}: {len(request.messages)} messages, ~{tokens} tokens"
        self._keep("request", body, what)

    def _record_answer(self, reply: Reply) -> Turn:
        body = message_body(reply, self.talk.call_ids())
        body = json.loads(self.redact(json.dumps(body, ensure_ascii=False)))
        tools = ", ".join(str(b["name"]) for b in body["content"] if b["type"] == "tool_use")
        self._keep("assistant", body, f"{reply.stop_reason}: {tools or 'prose'}")
        turn = self.talk.answered(body)
        if tokens := context_tokens(reply.usage):
            self.talk.counted(tokens)
        return turn

    def clear_context(self, calls: Sequence[str], strip_thinking: bool) -> None:
        """Clear the answers of these calls from the conversation, recorded first."""
        body = {"kind": "cleared", "calls": list(calls), "strip_thinking": strip_thinking}
        self._keep("request", body, f"context: {len(calls)} tool results cleared")
        self.talk.clear(calls, strip_thinking)

    def compact_context(self, text: str) -> None:
        """Put a summary in the place of the conversation, recorded first."""
        body = {"kind": "compacted", "text": self.redact(text)}
        self._keep("request", body, "context: replaced by a summary")
        self.talk.compact(body["text"])

    def _keep(self, role: str, body: Mapping[str, object], summary: str) -> None:
        ref = self.bench.recording.keep(json.dumps(body, ensure_ascii=False))
        self.bench.recording.record(
            MessageRecorded.model_validate(
                {"role": role, "ref": ref, "summary": self.redact(summary)[:300]}
            )
        )

    def _spent_in_part(self, sink: Chunker) -> None:
        """An answer that was cut off is paid for too: what the server said, else an estimate."""
        if not sink.last_usage:
            return
        usage = dict(sink.last_usage)
        streamed = sink.characters // 4
        usage["output_tokens"] = max(int(usage.get("output_tokens") or 0), streamed)
        spend = self.model.spend(usage)
        if spend != Spend():
            self.bench.recording.spent(spend)
