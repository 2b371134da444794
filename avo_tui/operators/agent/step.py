"""One variation step of the agent: ask the model, record, run tools, deliver hints, until it
ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from avo_tui.domain.budget import exhausted
from avo_tui.domain.events import ToolReturned
from avo_tui.domain.plain import plain
from avo_tui.domain.records import Author, Hint, Intervention
from avo_tui.domain.secrets import Redact
from avo_tui.operators.agent import review
from avo_tui.operators.agent.conversation.heal import heal
from avo_tui.operators.agent.conversation.repeats import Repeats
from avo_tui.operators.agent.conversation.turns import Call, Conversation, outcome_on_record
from avo_tui.operators.agent.exchange import Exchange, useful
from avo_tui.operators.agent.model.port import Model, Reply
from avo_tui.operators.agent.prompts import material, nudges, prompt
from avo_tui.operators.agent.prompts.memory import note_key, persons_changes
from avo_tui.operators.agent.prompts.opening import (
    hint_text,
    intervention_key,
    intervention_text,
    knowledge_text,
    opening,
    task_text,
)
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.agent.setup import Setup
from avo_tui.operators.agent.summary import Summary
from avo_tui.operators.agent.transcript import Transcript
from avo_tui.operators.draft import CARRIED, Draft
from avo_tui.operators.ports import Interrupted, StepEnded, StepOutcome, Workbench
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.running_call import cut_short
from avo_tui.operators.toolbox.switched_off import fitting, parts_off
from avo_tui.operators.toolbox.workspace import load_candidate


class AgentStep:
    """Runs one conversation with one workbench."""

    def __init__(
        self,
        bench: Workbench,
        setup: Setup,
        redact: Redact,
        author: Author = "agent",
        reviewed: set[str] | None = None,
    ) -> None:
        """`reviewed` contains the ids of interventions that were reviewed; shared between steps."""
        self.bench = bench
        self._setup = setup
        self.redact = redact
        self._author = author
        self._reviewed = set() if reviewed is None else reviewed
        self.box = Toolbox(bench, limit=setup.settings.result_limit, redact=redact)
        self.talk = Conversation.restore(
            bench.reading.step_events(),
            bench.reading.fetch,
            lambda whole, call: material(self.box.shown(whole, call)),
        )
        self.transcript = Transcript(bench, self.talk, redact)
        summary = Summary(bench, self.box.workspace, redact)
        self.exchange = Exchange(bench, setup, self.transcript, summary)
        self._idle = 0
        self._refused = 0
        self._repeats = Repeats(self.talk)
        self._tools = sum(isinstance(e, ToolReturned) for e in bench.reading.step_events())

    @property
    def model(self) -> Model:
        return self._setup.model

    @property
    def settings(self) -> AgentSettings:
        return self._setup.settings

    # -- the step

    async def run(self) -> StepOutcome:
        """Run the whole step, or the remainder of an interrupted one."""
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
        """Add the system prompt, the opening and undelivered hints, unless they are there
        already."""
        bench, talk = self.bench, self.talk
        await self._follow_settings()
        if not talk.system:
            self._write_system()
            for remark in self.model.remarks():
                self.transcript.trouble("cost", remark)
        self._mind_model()
        if not talk.items:
            hints = await bench.control.boundary("opening")
            for intervention in bench.reading.interventions():
                await self._review(intervention)
            active = bench.reading.interventions()
            told = [f"hint:{h.id}" for h in hints] + [intervention_key(i) for i in active]
            told += [note_key(n) for n in bench.reading.notes()]
            draft = self._take_up_draft()
            self.transcript.say(opening(bench, hints, draft=draft), "opening", told)
        lost = [h for h in talk.hints_seen if f"hint:{h}" not in talk.told]
        self._deliver([bench.reading.hint(h) for h in dict.fromkeys(lost)])

    async def _follow_settings(self) -> None:
        """Apply what the person changed in the agent's settings since the last request."""
        before = self.settings
        sentence = await self._setup.follow(self.bench.reading.settings)
        if sentence:
            self.transcript.trouble("settings", sentence)
        now = self.settings
        if now is before:
            return
        self.exchange.settings_changed()
        self.box.limit = now.result_limit
        if now.model != before.model:
            for remark in self.model.remarks():
                self.transcript.trouble("cost", remark)

    def _mind_model(self) -> None:
        """Remove thinking of another model, because the current model's endpoint would refuse
        it."""
        talk, name = self.talk, self.model.name
        if talk.model and talk.model != name:
            self.transcript.clear((), strip_thinking=True, by_server=False, model=name)

    def _take_up_draft(self) -> Draft | None:
        """Continue from the draft that the previous step left, if there is one.

        Not if the supervisor has redirected the run, because a new direction starts at the head,
        and not after the draft was carried over too many times: then it is only offered.
        """
        bench, space = self.bench, self.box.workspace
        draft = bench.reading.draft()
        if draft is None or draft.carried >= self.settings.carry_drafts:
            return None
        if any(i.level in {"redirect", "restart"} for i in bench.reading.interventions()):
            return None
        candidate = load_candidate(bench, draft.candidate)
        space.change(candidate, f"{CARRIED} of step {draft.step}")
        return draft

    def _write_system(self) -> None:
        """Record the system prompt and the tools. They are the same in every step, so they stay in
        the prompt cache longest."""
        bench = self.bench
        parts = parts_off(bench.reading.settings)
        few = "extras" in parts
        documents = [] if few or "knowledge" in parts else bench.knowledge.documents()
        stable = {"type": "ephemeral", "ttl": "1h"}
        system: list[dict[str, object]] = [
            {"type": "text", "text": fitting(prompt("few_tools" if few else "system"), parts)},
            {
                "type": "text",
                "text": task_text(bench.reading.task, bench.reading.machine)
                + knowledge_text(documents),
                "cache_control": stable,
            },
        ]
        tools: list[dict[str, object]] = [
            {"name": s.name, "description": s.description, "input_schema": s.input_schema}
            for s in self.box.specs()
        ]
        self.transcript.begin(self.model.name, system, tools)

    # -- one turn

    async def _turn(self) -> StepOutcome | None:
        """One request and the tools it calls. Returns None to continue the step."""
        bench = self.bench
        before = f"before request {self.transcript.requests + 1}"
        self._deliver(await bench.control.boundary(before, end_of_turn=True))
        await self._tell_supervision()
        self._tell_memory()
        over = self._over()
        if over is not None:
            return over
        await self._follow_settings()
        self._mind_model()
        reply = await self.exchange.next_answer()
        if reply is None:
            return self.exchange.refused
        return self._take(reply)

    def _over(self) -> StepOutcome | None:
        """The outcome if a cap or the step's maximum length is reached; None otherwise."""
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

    def _take(self, reply: Reply) -> StepOutcome | None:
        if reply.stop_reason == "refusal":
            return self._refusal(reply)
        self._refused = 0
        full = reply.stop_reason == "model_context_window_exceeded"
        cut = full or reply.stop_reason == "max_tokens"
        content = reply.content
        lost = cut and bool(content) and content[-1].get("type") == "tool_use"
        if lost:
            content = content[:-1]
        if full:
            self.transcript.trouble("model", "the answer filled the model's context")
            self.exchange.overflowed()
        healed = heal(
            Reply(**{**reply.__dict__, "content": content}),
            self.talk.used_ids,
            {spec.name: spec.input_schema for spec in self.box.specs()},
            self.redact,
            thinking=self._kept_thinking(),
        )
        for remark in healed.remarks:
            self.transcript.trouble("model", remark)
        if not useful(healed.content):
            return self._cut_to_nothing(full) if lost else self._empty(reply, cut)
        turn = self.transcript.answer(reply, healed)
        if cut:
            self._cut(full)
        if turn.calls:
            self._idle = 0
            return None
        if reply.stop_reason in {"pause_turn", "compaction"}:
            return self._idled(f"{reply.stop_reason} without progress")
        if not cut:
            self.transcript.say(nudges.for_prose(reply.content), "nudge")
        return self._idled("the agent talked and called no tool")

    def _kept_thinking(self) -> Literal["signed", "any", "none"]:
        if "earlier thinking" not in self.model.features:
            return "none"
        return "signed" if self.model.checks_signatures else "any"

    def _cut(self, full: bool) -> None:
        """Tell the agent that its answer was cut; `full`: because it filled the context."""
        limit = f"its limit of {self.exchange.most_output} tokens"
        if not full:
            self.transcript.trouble("model", f"an answer was cut at {limit}")
        where = "the end of the model's context, which is made shorter now" if full else limit
        self.transcript.say(nudges.cut_at(where), "nudge")

    def _cut_to_nothing(self, full: bool) -> StepOutcome | None:
        """Handle an answer of which a cut left nothing but the beginning of a call."""
        self._cut(full)
        return self._idled("the agent's calls were cut off")

    def _refusal(self, reply: Reply) -> StepOutcome | None:
        self._refused += 1
        detail = plain(self.redact(reply.stop_detail), 600)
        detail = f" ({detail})" if detail else ""
        self.transcript.trouble("model", f"the model refused to go on{detail}")
        if self._refused >= self.settings.refusal_limit:
            return StepOutcome(
                outcome="nothing",
                reason=f"the model refused {self._refused} times in a row{detail}",
            )
        self.transcript.say(nudges.REFUSED, "nudge")
        return None

    def _empty(self, reply: Reply, cut: bool) -> StepOutcome | None:
        why = "all its tokens went into thinking" if cut else f"it stopped with {reply.stop_reason}"
        self.transcript.trouble("model", f"the model's answer was empty: {why}")
        self.transcript.say("Your answer was empty. Go on with a tool call.", "nudge")
        return self._idled("the model's answers were empty")

    def _idled(self, why: str) -> StepOutcome | None:
        self._idle += 1
        if self._idle < self.settings.idle_limit:
            return None
        return StepOutcome(outcome="nothing", reason=f"{why}, {self._idle} times in a row")

    # -- tools

    async def _tools_of_turn(self) -> StepOutcome | None:
        """Answer every open tool call of the last message, running those that were never
        started."""
        calls = self.talk.pending()
        for index, call in enumerate(calls):
            if call.started:
                self._refuse(call, nudges.INTERRUPTED)
                continue
            hints = await self.bench.control.boundary(
                f"before tool {self._tools + 1} ({call.name})"
            )
            if hints:
                for rest in calls[index:]:
                    self._refuse(rest, nudges.SKIPPED)
                self._deliver(hints)
                return None
            outcome = await self._run(call)
            if outcome is not None:
                self._close_calls("Skipped, not run: the step has ended.")
                return outcome
        return self._repeated() if calls else None

    def _repeated(self) -> StepOutcome | None:
        """Notice turns that brought nothing new: say so once, later end the step."""
        turn, limit = self.talk.last_turn(), self.settings.repeat_limit
        count, half = self._repeats.add(turn), max(1, limit // 2)
        tool, failures = self._repeats.failing()
        if count >= limit:
            reason = f"{count} answers in a row only failed calls or repeated earlier ones"
            return StepOutcome(outcome="nothing", reason=reason)
        if failures >= limit:
            return StepOutcome(outcome="nothing", reason=f"{tool} failed {failures} times in a row")
        if count == half:
            self.transcript.say(nudges.in_vain(count), "nudge")
        elif failures == half and any(call.name == tool for call in turn.calls):
            self.transcript.say(nudges.failing(tool, failures), "nudge")
        return None

    async def _run(self, call: Call) -> StepOutcome | None:
        if call.broken is not None:
            self.transcript.trouble("model", f"the arguments of {call.name} were not valid JSON")
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
            text = cut_short(cut, f"Interrupted before it was finished ({cut.reason})")
            self._refuse(call, f"{text}\nCall it again if you still want it.")
            return None
        self._tools += 1
        call.answer, call.ok = material(result.text), result.ok
        return result.ends_step

    def _refuse(self, call: Call, text: str) -> None:
        self._tools += 1
        result = self.box.refuse(call.id, call.name, text)
        call.answer, call.ok = material(result.text), False

    def _close_calls(self, text: str) -> None:
        for call in self.talk.pending():
            self._refuse(call, text)

    # -- messages to the agent

    def _deliver(self, hints: Sequence[Hint]) -> None:
        for hint in hints:
            self._repeats.forgive()
            self.transcript.say(hint_text(hint), "hint", [f"hint:{hint.id}"])

    async def _tell_supervision(self) -> None:
        for intervention in self.bench.reading.interventions():
            if intervention_key(intervention) in self.talk.told:
                continue
            seen = await self._review(intervention)
            if seen is None:
                continue  # interrupted: told after the next boundary, once it is reviewed
            keys = [intervention_key(seen), intervention_key(intervention)]
            self.transcript.say(intervention_text(seen), "supervision", keys)

    def _tell_memory(self) -> None:
        """Tell the agent how the person has changed the notes since the step began."""
        own = self.box.workspace.forgotten
        text, told = persons_changes(self.bench.reading.notes(), self.talk.told, own)
        if text:
            self.transcript.say(text, "memory", told)

    async def _review(self, intervention: Intervention) -> Intervention | None:
        """Fill in an intervention without directions by a review of the run.

        None if the person interrupted the review.
        """
        if not intervention.review_wanted or intervention.id in self._reviewed:
            return intervention
        if not self.model.reviews or self._over() is not None:
            return intervention
        reviewed = await review.review(self.exchange, intervention)
        if reviewed is not None:
            self._reviewed.add(intervention.id)
        return reviewed
