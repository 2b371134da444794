"""What a step has brought so far, for whoever takes it up in the middle."""

from __future__ import annotations

from avo_tui.domain.difference import unified
from avo_tui.domain.events import ToolReturned
from avo_tui.operators.agent.prompts import fenced
from avo_tui.operators.ports import Workbench
from avo_tui.operators.toolbox.report_text import attempt_line, plan_text
from avo_tui.operators.toolbox.running_call import unreturned
from avo_tui.operators.toolbox.tool import cut_middle, first_lines
from avo_tui.operators.toolbox.workspace import Workspace

RESULTS = 20
"""Newest attempts, and newest results of tools, that are named; each result with the call by which
it can be read again."""
DIFF = 16_000
"""Characters of the working candidate's difference to the parent."""

TELLING = frozenset({
    "compile", "check", "evaluate", "evaluate_many", "bench", "quick_bench", "profile",
    "disassemble", "scratch", "submit",
})  # fmt: skip
"""Tools whose results say something about a kernel."""


def progress_text(space: Workspace, diff: int = DIFF, newest: int = RESULTS) -> str:
    """The plan, the attempts, the results and the working candidate of the step that is open.

    `diff`: characters of the working candidate's difference to the parent; `newest`: attempts and
    results that are named. "" for a step in which nothing was done yet.
    """
    bench = space.bench
    parts = []
    if space.plan:
        parts.append(f"Its plan: {plan_text(space.plan_title, space.plan)}")
    if attempts := bench.reading.attempts(bench.reading.step):
        lines = "\n".join(attempt_line(attempt) for attempt in attempts[-newest:])
        if len(attempts) > newest:
            step = bench.reading.step
            lines += f"\n({len(attempts) - newest} earlier ones: list_attempts(step={step}))"
        parts.append(f"Its attempts; reset_candidate(attempt=…) takes one up:\n{lines}")
    if results := _results(bench, newest):
        parts.append(f"Its newest results; read_result(call=…) has all of one:\n{results}")
    changed = space.working.id != space.parent.id
    if changed:
        parts.append(_working(space, diff))
    if not parts:
        return ""
    if not changed:
        parts.append("The working candidate is the parent's source, unchanged.")
    return "\n\n".join(["## This step so far", *parts])


def _results(bench: Workbench, newest: int) -> str:
    events = bench.reading.step_events()
    told = [
        f"{event.call} {event.tool}{'' if event.ok else ' (could not)'}:"
        f" {' '.join(first_lines(event.summary, 2, 240).split())}"
        for event in events
        if isinstance(event, ToolReturned) and event.tool in TELLING and event.call
    ]
    told += [
        f"{call} was cut off: {'; '.join(results)[:240]}"
        for call, results in unreturned(events).items()
    ]
    return "\n".join(told[-newest:])


def _working(space: Workspace, limit: int) -> str:
    known = space.bench.reading.find_attempt(space.working.id)
    what = f"attempt {known.step}.{known.number}" if known else "not evaluated yet"
    diff = cut_middle(unified(space.parent, space.working).text, limit, "show_diff shows all of it")
    return f"The working candidate is a draft, {what}. Its diff to the parent:\n{fenced('', diff)}"
