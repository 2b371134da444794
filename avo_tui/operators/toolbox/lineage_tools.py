"""Tools that read the lineage and the attempts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avo_tui.domain.difference import unified
from avo_tui.domain.verdict import Verdict
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.report_text import (
    attempt_line,
    lineage_lines,
    report_text,
    resource_lines,
    score_table,
    source_text,
    version_line,
)
from avo_tui.operators.toolbox.tool import tool
from avo_tui.operators.toolbox.workspace import Workspace, load_candidate


@tool("lineage")
async def list_versions(
    space: Workspace,
    last: int = Field(default=60, ge=1, le=500, description="How many of the newest to list."),
) -> str:
    """List the committed versions, oldest first: parent, aggregate score, gain at the gate,
    author, one line of what changed. Head and best are marked."""
    reading = space.bench.reading
    lines = lineage_lines(reading.versions(), reading.head.number, last)
    return "\n".join(lines)


@tool("lineage")
async def read_version(
    space: Workspace,
    version: int = Field(description="Number of the version, such as 7 for v7."),
    part: Literal["all", "source", "score", "plan"] = Field(
        default="all", description="What to read: everything, or one part."
    ),
) -> str:
    """Read a committed version: source, plan, summary, score on every configuration with the gain
    at the gate, registers and spills where known."""
    chosen = space.version(version)
    best = space.bench.reading.best().number
    candidate = space.bench.reading.candidate(chosen.candidate)
    if part == "source":
        return source_text(candidate)
    parts = [version_line(chosen, space.bench.reading.head.number, best)]
    if part in {"all", "plan"}:
        if chosen.idea:
            parts.append(f"what this candidate changes:\n{chosen.idea}")
        parts.append(f"plan of the step:\n{chosen.plan or '(none)'}")
        parts.append(f"summary:\n{chosen.summary or '(none)'}")
        if chosen.note:
            parts.append(f"note of the person:\n{chosen.note}")
        if chosen.built_on:
            parts.append("built on these notes of the memory, as they read then:")
            parts.extend(f"- [{n.id}] {n.category}: {n.text}" for n in chosen.built_on)
    if part in {"all", "score"}:
        paired = space.bench.reading.paired(chosen.candidate)
        parts.append("score:\n" + score_table(chosen.score, paired))
        parts.append(f"gate: {chosen.gate.reason}")
        if resources := resource_lines(chosen.resources):
            parts.append(resources)
    if part == "all":
        parts.append(source_text(candidate, headed=True))
    return "\n".join(parts)


@tool("lineage")
async def diff_versions(
    space: Workspace,
    old: int = Field(description="Number of the version before."),
    new: int = Field(description="Number of the version after."),
) -> str:
    """Unified diff between the sources of two versions, with both scores."""
    first, second = space.version(old), space.version(new)
    reading = space.bench.reading
    diff = unified(reading.candidate(first.candidate), reading.candidate(second.candidate)).text
    timed = second.timed_against
    gain = "never timed in turn; the scores are of their own runs"
    if timed is not None and timed[0] == old:
        gain = f"{timed[1]:+.2%} in turn at the gate"
    head = f"v{old} {first.aggregate:.4f} → v{new} {second.aggregate:.4f} ({gain})"
    return f"{head}\n{diff or '(the same source)'}"


@tool("lineage")
async def list_attempts(
    space: Workspace,
    step: int | None = Field(default=None, description="Only this step; all steps without it."),
    verdict: Verdict | None = Field(default=None, description="Only attempts with this verdict."),
    rejected_only: bool = Field(
        default=True, description="Leave out the attempts that became versions."
    ),
    last: int = Field(default=40, ge=1, le=400, description="How many of the newest to list."),
) -> str:
    """List what was tried before and why it did not become a version: verdict, score, title,
    reason. Look here before trying an idea that may have failed already."""
    attempts = [
        a
        for a in space.bench.reading.attempts(step)
        if (verdict is None or a.verdict is verdict)
        and not (rejected_only and a.version is not None)
    ]
    if not attempts:
        return "No attempts match."
    shown = attempts[-last:]
    lines = [attempt_line(a) for a in shown]
    if len(shown) < len(attempts):
        lines.insert(0, f"({len(attempts) - len(shown)} earlier ones are left out)")
    return "\n".join(lines)


@tool("lineage")
async def read_attempt(
    space: Workspace,
    step: int = Field(description="Step of the attempt: 12 for attempt 12.3."),
    number: int = Field(description="Number within the step: 3 for attempt 12.3."),
    part: Literal["report", "source", "diff"] = Field(
        default="report", description="Its report, its source, or its diff to its parent version."
    ),
) -> str:
    """Read one earlier attempt: its evaluation report, its source, or its diff to the version it
    was made from."""
    attempt = next(
        (a for a in space.bench.reading.attempts(step) if a.number == number),
        None,
    )
    if attempt is None:
        raise ToolError(f"There is no attempt {step}.{number}; list_attempts shows them.")
    candidate = load_candidate(space.bench, attempt.candidate)
    if part == "source":
        return source_text(candidate)
    head = attempt_line(attempt)
    if part == "report":
        report = space.bench.reading.report(attempt.step, attempt.number)
        if report is None:
            return f"{head}\nIt was not finished, so there is no report."
        paired = space.bench.reading.paired(attempt.candidate)
        return f"{head}\n{report_text(report, paired)}"
    parent = space.bench.reading.candidate(space.version(attempt.parent).candidate)
    body = unified(parent, candidate).text or "(the same source as its parent)"
    return f"{head}\n{body}"
