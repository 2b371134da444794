"""Formats scores, reports and records as plain text for an agent, without hidden details."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avo_tui.domain import lineage
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import PairedGains
from avo_tui.domain.records import Attempt, PlanItem, Version
from avo_tui.domain.report import HIDDEN, EvaluationReport, Resources
from avo_tui.domain.score import Score

_SAID_OF_KERNELS = re.compile(r"ptxas info|\s+\d+ bytes stack frame")
"""Lines of a compiler's log that the resources of the kernels tell as well."""

LINEAGE_HEADING = (
    "Version ← parent, aggregate from a run of its own (gain at the gate over its parent, unless"
    " another is named; timed in turn), author, what changed. Which is best is decided by the gains"
    " at the gate: aggregates of different runs differ by chance."
)
"""Heading of lines by `version_line`."""


def score_table(score: Score, paired: PairedGains | None = None) -> str:
    """One line per configuration.

    Ratios are of this run alone; a change is shown only where the candidate was timed in turn with
    a version (`paired`), since two runs differ by chance.
    """
    lines = [
        f"aggregate {score.aggregate:.4f} (geomean of the ratio to {score.reference_baseline}),"
        f" geomean {score.geomean:.4g} {score.unit}, noise ±{score.noise:.2%}"
    ]
    for c in score.configurations:
        line = (
            f"  {c.name}: {c.throughput:.4g} {score.unit} (p20 {c.p20:.4g}, p80 {c.p80:.4g}),"
            f" ratio {c.ratio:.4f}"
        )
        if c.milliseconds:
            other = f"{score.reference_baseline} {c.milliseconds * c.ratio:.4g} ms"
            line += f", {c.milliseconds:.4g} ms a call ({other}; {c.samples} samples)"
        if paired is not None and (change := paired.text(c.name)):
            line += f"; at the gate {change}"
        if c.flags:
            line += f" [{'; '.join(c.flags)}]"
        lines.append(line)
    lines += [f"  {remark}" for remark in score.remarks]
    return "\n".join(lines)


def gains_text(paired: PairedGains | None) -> str:
    """What the gate measured of a candidate, over all configurations and on each, a line each.

    Gains are relative, with their 95% intervals. "" for a candidate that the gate never timed.
    """
    if paired is None:
        return ""
    head = f"At the gate, with 95% intervals: {paired.text()} over all configurations"
    return "\n".join([head, *(f"  {name}: {paired.text(name)}" for name in paired.gains)])


def resource_lines(resources: Resources) -> str:
    """Static properties of the compiled candidate; empty if there are none."""
    lines = []
    if summary := resources.summary():
        lines.append(f"resources: {summary}")
    for name, facts in resources.kernels.items():
        lines.append(f"  {name}: " + ", ".join(f"{k} {v}" for k, v in facts.items()))
    lines.extend(f"  warning: {w}" for w in resources.warnings)
    return "\n".join(lines)


def check_lines(report: EvaluationReport) -> str:
    """The check result per public configuration; for the hidden ones only whether all passed."""
    lines = []
    hidden = [c for c in report.checks if c.name == HIDDEN]
    for c in report.checks:
        if c.name == HIDDEN:
            continue
        of = f" ({c.distribution})" if c.distribution else ""
        line = f"  {c.name}{of}: {'ok' if c.ok else 'WRONG'}"
        if c.error is not None:
            line += f", largest error {c.error:.3g} of the tolerance"
        if c.error_ratio is not None:
            line += f", {c.error_ratio:.2f} × the library's in the mean"
        if c.detail and not c.ok:
            line += f" ({c.detail})"
        lines.append(line)
    if hidden:
        passed = all(c.ok for c in hidden)
        lines.append(f"  hidden configurations: {'all ok' if passed else 'at least one WRONG'}")
    return "check:\n" + "\n".join(lines) if lines else ""


def report_text(report: EvaluationReport, paired: PairedGains | None = None) -> str:
    """A complete report for the agent: verdict, cause, hint, checks, resources, score.

    `paired` is what the gate measured of the candidate, if it did.
    """
    feedback = report.feedback
    parts = [f"verdict: {_verdict(report)}"]
    if not report.verdict.judges_candidate:
        parts.append("This says nothing about the candidate: the machine or the harness failed.")
    if feedback.configuration:
        parts.append(f"configuration: {feedback.configuration}")
    if feedback.detail:
        parts.append(f"where: {feedback.detail}")
    if feedback.hint:
        parts.append(f"what usually helps: {feedback.hint}")
    if checks := check_lines(report):
        parts.append(checks)
    if resources := resource_lines(report.resources):
        parts.append(resources)
    if report.score is not None:
        parts.append("score:\n" + score_table(report.score, paired))
    if report.health is not None and report.health.remark:
        parts.append(f"while this was measured: {report.health.remark}")
    if report.cached:
        parts.append("(answered from the record: this very source was measured before)")
    log = feedback.log
    if report.correct and report.resources.kernels:
        log = "\n".join(x for x in log.splitlines() if not _SAID_OF_KERNELS.match(x))
    if log.strip():
        parts.append("log:\n" + log)
    return "\n".join(parts)


def _verdict(report: EvaluationReport) -> str:
    """The verdict and its cause, without repetition."""
    word, cause = report.verdict.value, report.feedback.summary
    return cause if cause.startswith(word) else f"{word}: {cause}"


def cause_line(report: EvaluationReport) -> str:
    """Why a candidate failed, and on what, in one line."""
    feedback = report.feedback
    line, on = _verdict(report), feedback.configuration
    line += f", on {on}" if on and on not in line else ""
    return line + (f" ({feedback.detail})" if feedback.detail else "")


def source_text(candidate: Candidate, *, headed: bool = False) -> str:
    """The files of a candidate; a single one exactly as it is unless `headed`.

    Several files each get a line with their name before them.
    """
    if len(candidate.files) == 1 and not headed:
        return next(iter(candidate.files.values()))
    return "\n".join(f"=== {name}\n{text}" for name, text in candidate.files.items())


def version_line(version: Version, head: int, best: int) -> str:
    """One line of the lineage."""
    marks = [
        word
        for word, here in (("head", version.number == head), ("best", version.number == best))
        if here
    ]
    if version.under_load:
        marks.append("timed on a busy machine, to be measured again")
    line = f"v{version.number}"
    if version.parent is not None:
        line += f" ← v{version.parent}"
    line += f"  {version.aggregate:.4f}"
    if version.gate.gain is not None:
        over = version.gate.reference
        beside = f" over v{over}" if over is not None and over != version.parent else ""
        line += f" ({version.gate.gain:+.2%}{beside})"
    line += f"  by {version.author}"
    if marks:
        line += f"  [{', '.join(marks)}]"
    if summary := first_sentence(version.idea or version.summary or version.plan):
        line += f"  {summary}"
    if version.flag:
        line += f"  ({version.flag})"
    return line


def lineage_lines(versions: Sequence[Version], head: int, last: int | None = None) -> list[str]:
    """The newest versions, at most `last` of them, a line each after a heading."""
    numbered = {version.number: version for version in versions}
    on_line = lineage.line_best(numbered, head).number
    lines = [version_line(numbered[n], head, on_line) for n in sorted(numbered)]
    shown = lines if last is None else lines[-last:]
    notes = [LINEAGE_HEADING]
    if len(shown) < len(lines):
        notes.append(f"({len(lines) - len(shown)} earlier versions are left out)")
    best = lineage.best(versions)
    if best is not None and best.number != on_line:
        notes.append(
            f"(v{best.number} is the best of all, on a line that was left; the gate compares with"
            f" v{on_line}, the best of the head's line)"
        )
    return [*notes, *shown]


def attempt_line(attempt: Attempt) -> str:
    """One line about an attempt and its result."""
    verdict = attempt.verdict.value if attempt.verdict else "unfinished"
    line = f"{attempt.step}.{attempt.number} (from v{attempt.parent}) {verdict}"
    if attempt.aggregate:
        line += f", aggregate {attempt.aggregate:.4f}"
    if attempt.title:
        line += f": {attempt.title}"
    if attempt.version is not None:
        line += f" → v{attempt.version}"
    elif attempt.reason:
        line += f": {attempt.reason}"
    return line


def plan_text(title: str, items: tuple[PlanItem, ...]) -> str:
    """The plan as Markdown, the form in which it is kept with a version."""
    marks = {"todo": "[ ]", "doing": "[>]", "done": "[x]", "dropped": "[-]"}
    lines = [title] if title else []
    lines.extend(f"- {marks[i.status]} {i.text}" for i in items)
    return "\n".join(lines)


def first_sentence(text: str, limit: int = 160) -> str:
    """The first line of a text, at most `limit` characters."""
    line = text.strip().partition("\n")[0].strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
