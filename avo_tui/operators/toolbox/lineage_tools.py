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
from avo_tui.operators.toolbox.tool import Arguments, Tool, ToolAnswer
from avo_tui.operators.toolbox.workspace import Workspace, load_candidate


class ListVersions(Arguments):
    """No arguments but a window."""

    last: int = Field(default=60, ge=1, le=500, description="How many of the newest to list.")


class ReadVersion(Arguments):
    """Which version, and what of it."""

    version: int = Field(description="Number of the version, such as 7 for v7.")
    part: Literal["all", "source", "score", "plan"] = Field(
        default="all", description="What to read: everything, or one part."
    )


class DiffVersions(Arguments):
    """Two versions."""

    old: int = Field(description="Number of the version before.")
    new: int = Field(description="Number of the version after.")


class ListAttempts(Arguments):
    """Filters over the attempts."""

    step: int | None = Field(default=None, description="Only this step; all steps without it.")
    verdict: Verdict | None = Field(default=None, description="Only attempts with this verdict.")
    rejected_only: bool = Field(
        default=True, description="Leave out the attempts that became versions."
    )
    last: int = Field(default=40, ge=1, le=400, description="How many of the newest to list.")


class ReadAttempt(Arguments):
    """Which attempt, and what of it."""

    step: int = Field(description="Step of the attempt: 12 for attempt 12.3.")
    number: int = Field(description="Number within the step: 3 for attempt 12.3.")
    part: Literal["report", "source", "diff"] = Field(
        default="report", description="Its report, its source, or its diff to its parent version."
    )


async def _list_versions(space: Workspace, arguments: ListVersions) -> ToolAnswer:
    reading = space.bench.reading
    lines = lineage_lines(reading.versions(), reading.head.number, arguments.last)
    return ToolAnswer("\n".join(lines))


async def _read_version(space: Workspace, arguments: ReadVersion) -> ToolAnswer:
    version = space.version(arguments.version)
    best = space.bench.reading.best().number
    candidate = space.bench.reading.candidate(version.candidate)
    if arguments.part == "source":
        return ToolAnswer(source_text(candidate))
    parts = [version_line(version, space.bench.reading.head.number, best)]
    if arguments.part in {"all", "plan"}:
        if version.idea:
            parts.append(f"what this candidate changes:\n{version.idea}")
        parts.append(f"plan of the step:\n{version.plan or '(none)'}")
        parts.append(f"summary:\n{version.summary or '(none)'}")
        if version.note:
            parts.append(f"note of the person:\n{version.note}")
        if version.built_on:
            parts.append("built on these notes of the memory, as they read then:")
            parts.extend(f"- [{n.id}] {n.category}: {n.text}" for n in version.built_on)
    if arguments.part in {"all", "score"}:
        paired = space.bench.reading.paired(version.candidate)
        parts.append("score:\n" + score_table(version.score, paired))
        parts.append(f"gate: {version.gate.reason}")
        if resources := resource_lines(version.resources):
            parts.append(resources)
    if arguments.part == "all":
        parts.append(source_text(candidate, headed=True))
    return ToolAnswer("\n".join(parts))


async def _diff_versions(space: Workspace, arguments: DiffVersions) -> ToolAnswer:
    old, new = space.version(arguments.old), space.version(arguments.new)
    diff = unified(
        space.bench.reading.candidate(old.candidate), space.bench.reading.candidate(new.candidate)
    ).text
    timed = new.timed_against
    gain = "never timed in turn; the scores are of their own runs"
    if timed is not None and timed[0] == old.number:
        gain = f"{timed[1]:+.2%} in turn at the gate"
    head = f"v{old.number} {old.aggregate:.4f} → v{new.number} {new.aggregate:.4f} ({gain})"
    return ToolAnswer(f"{head}\n{diff or '(the same source)'}")


async def _list_attempts(space: Workspace, arguments: ListAttempts) -> ToolAnswer:
    attempts = [
        a
        for a in space.bench.reading.attempts(arguments.step)
        if (arguments.verdict is None or a.verdict is arguments.verdict)
        and not (arguments.rejected_only and a.version is not None)
    ]
    if not attempts:
        return ToolAnswer("No attempts match.")
    shown = attempts[-arguments.last :]
    lines = [attempt_line(a) for a in shown]
    if len(shown) < len(attempts):
        lines.insert(0, f"({len(attempts) - len(shown)} earlier ones are left out)")
    return ToolAnswer("\n".join(lines))


async def _read_attempt(space: Workspace, arguments: ReadAttempt) -> ToolAnswer:
    attempt = next(
        (a for a in space.bench.reading.attempts(arguments.step) if a.number == arguments.number),
        None,
    )
    if attempt is None:
        raise ToolError(
            f"There is no attempt {arguments.step}.{arguments.number}; list_attempts shows them."
        )
    candidate = load_candidate(space.bench, attempt.candidate)
    if arguments.part == "source":
        return ToolAnswer(source_text(candidate))
    head = attempt_line(attempt)
    if arguments.part == "report":
        report = space.bench.reading.report(attempt.step, attempt.number)
        if report is None:
            return ToolAnswer(f"{head}\nIt was not finished, so there is no report.")
        paired = space.bench.reading.paired(attempt.candidate)
        return ToolAnswer(f"{head}\n{report_text(report, paired)}")
    parent = space.bench.reading.candidate(space.version(attempt.parent).candidate)
    body = unified(parent, candidate).text or "(the same source as its parent)"
    return ToolAnswer(f"{head}\n{body}")


TOOLS = (
    Tool(
        "list_versions",
        "lineage",
        "List the committed versions, oldest first: parent, aggregate score, gain at the gate, "
        "author, one line of what changed. Head and best are marked.",
        ListVersions,
        _list_versions,
    ),
    Tool(
        "read_version",
        "lineage",
        "Read a committed version: source, plan, summary, score on every configuration with the "
        "gain at the gate, registers and spills where known.",
        ReadVersion,
        _read_version,
    ),
    Tool(
        "diff_versions",
        "lineage",
        "Unified diff between the sources of two versions, with both scores.",
        DiffVersions,
        _diff_versions,
    ),
    Tool(
        "list_attempts",
        "lineage",
        "List what was tried before and why it did not become a version: verdict, score, title, "
        "reason. Look here before trying an idea that may have failed already.",
        ListAttempts,
        _list_attempts,
    ),
    Tool(
        "read_attempt",
        "lineage",
        "Read one earlier attempt: its evaluation report, its source, or its diff to the version "
        "it was made from.",
        ReadAttempt,
        _read_attempt,
    ),
)
