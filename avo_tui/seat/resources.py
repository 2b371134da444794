"""What a client can read besides the tools: brief, task, lineage, versions, attempts, memory, K."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avo_tui.domain.attempts import attempt_name, attempt_status
from avo_tui.domain.outlook import paired_gains
from avo_tui.domain.records import RunState
from avo_tui.domain.state import SessionState
from avo_tui.operators.agent.prompts.memory import notes_text
from avo_tui.operators.agent.prompts.opening import task_text
from avo_tui.operators.knowledge_port import Knowledge
from avo_tui.operators.seat.step import UNOPENED
from avo_tui.operators.seat.wire import Answer
from avo_tui.operators.toolbox.report_text import lineage_lines, report_text, score_table
from avo_tui.operators.toolbox.switched_off import PARTS, parts_off
from avo_tui.seat.after_the_run import Leave, is_over, read_record
from avo_tui.seat.brief import brief
from avo_tui.store import SessionReader

SCHEME = "avo:///"


@dataclass(frozen=True)
class Page:
    """One resource that can be read."""

    path: str
    title: str
    description: str


PAGES = (
    Page("brief", "Brief", "How to work in this seat."),
    Page("task", "Task", "The task's text and the machine that candidates are measured on."),
    Page("lineage", "Lineage", "All versions with score, gain, author and what changed."),
    Page("attempts", "Attempts", "All attempts with what became of each."),
    Page("memory", "Memory", "The notes that are carried from step to step."),
    Page("knowledge", "Knowledge", "The documents of the knowledge base, with their ids."),
)

TEMPLATES = (
    Page("version/{number}", "A version", "Plan, score and source of a version, such as 3."),
    Page("attempt/{name}", "An attempt", "Report of an attempt, such as 12.3."),
    Page("knowledge/{id}", "A document", "A document or section of the knowledge base."),
)

MOST = 200_000
"""Largest number of characters of a document returned at once."""


class Library:
    """Reads the pages of one session; needs no engine."""

    def __init__(self, reader: SessionReader, knowledge: Knowledge, leave: Leave) -> None:
        self._reader = reader
        self._knowledge = knowledge
        self._leave = leave

    @property
    def state(self) -> SessionState:
        """The session's tables, as of now."""
        self._reader.poll()
        return self._reader.state

    async def after_the_run(self, tool: str, arguments: Mapping[str, Any]) -> Answer | None:
        """What a tool answers from the record of a run that has ended; None if it is not one of
        those, or the run goes on."""
        if tool not in UNOPENED or not is_over(self._reader):
            return None
        return await read_record(self._reader, self._knowledge, tool, arguments, self._leave)

    @property
    def run_state(self) -> RunState:
        """The run's state as it is now."""
        self._reader.poll()
        return self._reader.run_state()

    def is_over(self) -> bool:
        """Whether the run has ended for good."""
        return is_over(self._reader)

    def offered(self, pages: Sequence[Page]) -> list[Page]:
        """Those of the pages that this run does not do without."""
        off = parts_off(self.state.session.settings)
        return [page for page in pages if page.path.partition("/")[0] not in off]

    def read(self, uri: str) -> str:
        """The text of a page. Raises KeyError with one sentence for one that is not there."""
        path = uri.removeprefix(SCHEME)
        if (part := path.partition("/")[0]) in parts_off(self.state.session.settings):
            raise KeyError(f"{PARTS[part]} is switched off in this run")
        fixed: dict[str, Callable[[], str]] = {
            "brief": lambda: brief(self.state, self._reader.standing()),
            "task": self._task,
            "lineage": self._lineage,
            "attempts": self._attempts,
            "memory": self._memory,
            "knowledge": self._documents,
        }
        if path in fixed:
            return fixed[path]()
        if match := re.fullmatch(r"version/v?(\d+)", path):
            return self._version(int(match[1]))
        if match := re.fullmatch(r"attempt/(\d+)\.(\d+)", path):
            return self._attempt(int(match[1]), int(match[2]))
        if path.startswith("knowledge/"):
            return self._knowledge.read(path.removeprefix("knowledge/"), 0, MOST)
        raise KeyError(f"there is nothing at {uri}; the list of resources names what there is")

    def _task(self) -> str:
        session = self.state.session
        machine = session.engine.machine if session.engine is not None else None
        return task_text(session.task, machine)

    def _lineage(self) -> str:
        state = self.state
        head = state.session.head
        if head is None:
            return "There is no version yet."
        return "\n".join(lineage_lines(list(state.versions.values()), head))

    def _attempts(self) -> str:
        lines, step = [], self.state.open_step
        for attempt in self.state.attempts.values():
            score = f", {attempt.aggregate:.4f}" if attempt.aggregate else ""
            why = f": {attempt.reason}" if attempt.reason else ""
            status = attempt_status(attempt, step)
            lines.append(f"{attempt_name(attempt)} {status}{score}, {attempt.title}{why}")
        return "\n".join(lines) or "There is no attempt yet."

    def _memory(self) -> str:
        notes = list(self.state.memory.values())
        return notes_text(notes, MOST)

    def _documents(self) -> str:
        return "\n".join(f"[{i}] {title}" for i, title in self._knowledge.documents())

    def _version(self, number: int) -> str:
        version = self.state.versions.get(number)
        if version is None:
            raise KeyError(f"there is no v{number}")
        candidate = self._reader.candidate(version.candidate)
        paired = paired_gains(self.state, version.candidate)
        sources = "\n".join(f"=== {name}\n{text}" for name, text in candidate.files.items())
        return (
            f"v{number} {version.title}\nplan of the step:\n{version.plan}\n"
            f"summary:\n{version.summary}\n"
            f"score:\n{score_table(version.score, paired)}\ngate: {version.gate.reason}\n{sources}"
        )

    def _attempt(self, step: int, number: int) -> str:
        attempt = self.state.attempts.get((step, number))
        if attempt is None:
            raise KeyError(f"there is no attempt {step}.{number}")
        report = self._reader.report(attempt)
        paired = paired_gains(self.state, attempt.candidate)
        text = report_text(report, paired) if report is not None else "It is not finished."
        return f"{attempt.title}\n{text}"
