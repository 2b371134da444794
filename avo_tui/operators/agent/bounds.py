"""Keeps a conversation within the model's context: old tool results first, then a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui.domain.events import AttemptFinished, AttemptStarted
from avo_tui.operators.agent.memory import notes_text
from avo_tui.operators.agent.opening import hint_text, intervention_text
from avo_tui.operators.agent.prompts import prompt
from avo_tui.operators.ports import Workbench
from avo_tui.operators.toolbox.render import attempt_line, plan_text
from avo_tui.operators.toolbox.workspace import Workspace, unified

if TYPE_CHECKING:
    from avo_tui.operators.agent.loop import AgentStep

NOTES = 32_000
"""Characters of notes that are repeated after a summary."""

FULL = 10**8
"""A count that says: the server did not take it."""


async def keep(step: AgentStep) -> bool:
    """Clear or summarise, if the next request would be too long.

    Where the server edits the context itself we only step in after it refused a request. False
    where a summary was wanted and did not come: the loop looks around and tries again.
    """
    talk, settings = step.talk, step.settings
    refused = talk.tokens() >= FULL
    if step.model.edits_context and not refused:
        return True
    if talk.tokens() < settings.clear_at:
        return True
    calls = talk.clearable(settings.keep_results)
    if calls:
        step.clear_context(calls, strip_thinking=settings.thinking != "budget")
        if refused or talk.tokens() < settings.compact_at:
            return True
    if not refused and talk.tokens() < settings.compact_at:
        return True
    if refused:
        text = mechanical(step.bench, step.box.workspace)
    else:
        summary = await _summary(step)
        if summary is None:
            return False
        text = summary or mechanical(step.bench, step.box.workspace)
    step.compact_context(_continuation(step, text))
    return True


async def _summary(step: AgentStep) -> str | None:
    """The agent's own summary, empty if it wrote none; None where no answer came."""
    messages = step.talk.messages(step.settings.cache)
    question = {"type": "text", "text": prompt("compaction")}
    if messages and messages[-1]["role"] == "user":
        messages[-1] = {"role": "user", "content": [*messages[-1]["content"], question]}
    else:
        messages.append({"role": "user", "content": [question]})
    reply = await step.ask(messages, step.talk.tools, plain=True)
    if reply is None:
        return None
    return "\n".join(str(b["text"]) for b in reply.content if b["type"] == "text").strip()


def _continuation(step: AgentStep, summary: str) -> str:
    """What stands in for the conversation so far: summary, standing words, the candidate."""
    space, bench = step.box.workspace, step.bench
    diff = unified(space.parent, space.working)
    parts = [
        "The conversation up to here was replaced by this summary of yours:",
        f"<summary>\n{summary}\n</summary>",
        *(hint_text(h) for h in bench.reading.hints_in_force()),
        *(intervention_text(i) for i in bench.reading.interventions()),
        *_persons_notes(bench),
        "The working candidate differs from the parent by:\n" + (diff or "(nothing)")[:30_000],
        "Go on from here.",
    ]
    return step.redact("\n\n".join(parts))


def _persons_notes(bench: Workbench) -> list[str]:
    """The memory as it stands, where the person changed it after the opening was written."""
    notes = bench.reading.notes()
    if not any(n.author == "person" and n.step == bench.reading.step for n in notes):
        return []
    return [f"The memory, which the person edited:\n{notes_text(notes, NOTES)}"]


def mechanical(bench: Workbench, space: Workspace) -> str:
    """A summary from the records alone: plan and attempts of this step."""
    finished = {e.attempt for e in bench.reading.step_events() if isinstance(e, AttemptFinished)}
    started = [e.attempt for e in bench.reading.step_events() if isinstance(e, AttemptStarted)]
    lines = [
        plan_text(space.plan_title, space.plan) or "(no plan was set)",
        "Attempts of this step:",
        *(attempt_line(a) for a in bench.reading.attempts(bench.reading.step)),
    ]
    if open_ones := [a for a in started if a.number not in finished]:
        lines.append(f"Not finished: {', '.join(str(a.number) for a in open_ones)}")
    return "\n".join(lines)
