"""Replaces a conversation that has become too long by a summary."""

from __future__ import annotations

from avo_tui.domain.difference import unified
from avo_tui.domain.events import AttemptFinished, AttemptStarted
from avo_tui.domain.secrets import Redact
from avo_tui.operators.agent.prompts import fenced, material, prompt
from avo_tui.operators.agent.prompts.memory import notes_text
from avo_tui.operators.agent.prompts.opening import hint_text, intervention_text
from avo_tui.operators.ports import Workbench
from avo_tui.operators.toolbox.report_text import attempt_line, plan_text
from avo_tui.operators.toolbox.workspace import Workspace

NOTES = 32_000
"""Largest number of characters of notes repeated after a summary."""
DIFF = 30_000
"""Largest number of characters of the working candidate's diff shown after a summary."""


class Summary:
    """Writes the text with which a step continues after its conversation was replaced."""

    def __init__(self, bench: Workbench, space: Workspace, redact: Redact) -> None:
        self._bench = bench
        self._space = space
        self._redact = redact

    def question(self) -> str:
        return prompt("compaction")

    def mechanical(self) -> str:
        """A summary made from the records alone: plan and attempts of this step."""
        bench, space = self._bench, self._space
        finished = {
            e.attempt for e in bench.reading.step_events() if isinstance(e, AttemptFinished)
        }
        started = [e.attempt for e in bench.reading.step_events() if isinstance(e, AttemptStarted)]
        lines = [
            plan_text(space.plan_title, space.plan) or "(no plan was set)",
            "Attempts of this step:",
            *(attempt_line(a) for a in bench.reading.attempts(bench.reading.step)),
        ]
        if open_ones := [a for a in started if a.number not in finished]:
            lines.append(f"Not finished: {', '.join(str(a.number) for a in open_ones)}")
        return "\n".join(lines)

    def continuation(self, summary: str) -> str:
        """What stands in for the conversation so far: summary, standing words, the candidate."""
        bench = self._bench
        diff = unified(self._space.parent, self._space.working).text
        parts = [
            "The conversation up to here was replaced by this summary of yours:",
            f"<summary>\n{material(summary.strip())}\n</summary>",
            *(hint_text(h) for h in bench.reading.hints_in_force()),
            *(intervention_text(i) for i in bench.reading.interventions()),
            *map(material, self._persons_notes()),
            "The working candidate differs from the parent by:\n"
            + fenced("", material((diff or "(nothing)")[:DIFF])),
            "Go on from here.",
        ]
        return self._redact("\n\n".join(parts))

    def _persons_notes(self) -> list[str]:
        """The current memory, if the person changed it after the opening was written."""
        bench = self._bench
        notes = bench.reading.notes()
        if not any(n.author == "person" and n.step == bench.reading.step for n in notes):
            return []
        return [f"The memory, which the person edited:\n{notes_text(notes, NOTES)}"]
