"""Formats an evaluation: stages, resources, checks, benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avo_tui.domain.attempts import UNDECIDED
from avo_tui.domain.report import ConfigurationCheck, Resources
from avo_tui.ui import formats
from avo_tui.ui.panes.device import health_lines
from avo_tui.ui.panes.output.benchmark import benchmark_lines
from avo_tui.ui.panes.output.machine import profile_lines, roofline_lines
from avo_tui.ui.panes.output.outcome import Outcome
from avo_tui.ui.session.step_view import StageView
from avo_tui.ui.text import (
    BLANK,
    Line,
    Span,
    clean_lines,
    cut,
    fit,
    line,
    one_line,
    prose,
    width_of,
)
from avo_tui.ui.widgets.log_rows import LongRows, log_line
from avo_tui.ui.widgets.long_text import LongText

STAGE_WORDS = {
    "waiting": "wait",
    "compile": "compile",
    "check": "check",
    "benchmark": "benchmark",
    "remeasure": "measure again",
}


OUTDATED = (
    "measured by another harness, compiler or task, or on another machine, than the session has"
    " now: do not compare these figures with new ones"
)
STAGE_GLYPHS = {"running": ("▶", "running"), "done": ("✔", "good"), "failed": ("✕", "bad")}


def stage_spans(outcome: Outcome, room: int) -> list[Span]:
    """The stages in the pane's heading: `compile ✔ · check 5/8 ▶ · benchmark`."""
    spans: list[Span] = []
    stages: Sequence[StageView] = [s for s in outcome.stages if s.stage != "waiting"]
    report = outcome.report
    if not stages and report is not None:
        done = report.stages_done
        order = ("compile", "check", "benchmark")
        upto = order.index(report.reached) if report.reached in order else 2
        for i, name in enumerate(order[: upto + 1]):
            good = report.correct or i < upto or name in done
            stages = [*stages, StageView(name, "done" if good else "failed")]  # type: ignore[arg-type]
    waiting = next((s for s in outcome.stages if s.stage == "waiting"), None)
    if waiting is not None and waiting.state == "running":
        return [("waits for the device", "warn")]
    for stage in stages:
        if spans:
            spans.append((" · ", "faint"))
        glyph, role = STAGE_GLYPHS[stage.state]
        if stage.stage == "remeasure" and _stopped_at_the_gate(outcome):
            glyph, role = "■", "warn"
        count = f" {stage.index}/{stage.count}" if stage.state == "running" and stage.count else ""
        spans.append(
            (f"{STAGE_WORDS[stage.stage]}{count} ", "" if stage.state != "done" else "dim")
        )
        spans.append((glyph, role))
    if width_of(spans) > room and len(stages) > 1:
        last = stages[-1]
        return stage_spans(replace(outcome, stages=(last,)), room)
    return spans


def output_lines(outcome: Outcome, width: int) -> list[Line]:
    """The whole pane."""
    out: list[Line] = []
    waiting = next((x for x in outcome.stages if x.stage == "waiting"), None)
    if waiting is not None and waiting.state == "running":
        wait_reason = waiting.detail or "another measurement is using it"
        out += [*prose(wait_reason, width, "dim", ("◷ waits for the device: ", "warn")), BLANK]
    if outcome.rejected and outcome.feedback is None:
        lead = ("✕ not committed: ", "bad")
        out += [*prose(formats.minus(outcome.rejected), width, "", lead), BLANK]
    if _stopped_at_the_gate(outcome):
        words = (
            "timing it beside the best version ended before the gate decided; submitting the same"
            " source again goes on from the pairs that were measured"
        )
        out += [*prose(words, width, "", (f"◌ {UNDECIDED}: ", "warn")), BLANK]
    decision = None if outcome.rejected else outcome.decision
    if decision is not None:
        glyph, role = ("✔", "good") if decision.accepted else ("✕", "bad")
        lead = (f"{glyph} gate {decision.gate}: ", role)
        out += [*prose(formats.minus(decision.reason), width, "", lead), BLANK]
    if outcome.feedback is not None:
        out += feedback_lines(outcome, width)
    if outcome.score is not None:
        out += benchmark_lines(outcome.score, width, outcome.parent, outcome.parent_name)
        out += roofline_lines(outcome.score, outcome.machine, width)
        if outcome.outdated:
            out += prose(OUTDATED, width, "warn")
    if outcome.report is not None and outcome.report.health is not None:
        out += health_lines(outcome.report.health, width)
    if decision is not None and decision.basis:
        out += [BLANK, *prose(decision.basis, width, "dim", ("the gate rests on ", "faint"))]
    if outcome.checks:
        out += _spaced(out, check_lines(outcome.checks, width))
    if outcome.resources is not None:
        out += _spaced(out, resource_lines(outcome.resources, width))
    if outcome.profiles:
        out += _spaced(out, profile_lines(outcome.profiles, width))
    if outcome.log.strip():
        out += _spaced(out, [line(("compiler", "dim"))] if out else [])
        out += [log_line(row) for row in clean_lines(outcome.log.rstrip("\n"))]
    if outcome.device:
        out += _spaced(out, [line((cut(one_line(outcome.device), width), "faint"))])
    if outcome.report is not None and outcome.report.seconds.total:
        for row in outcome.report.seconds.lines():
            out += prose(row.strip(), width, "faint")
    return out


def _stopped_at_the_gate(outcome: Outcome) -> bool:
    """True where a pair of processes was cut off, and nothing was decided since."""
    cut_off = any(s.stage == "remeasure" and s.state == "failed" for s in outcome.stages)
    return cut_off and outcome.decision is None and not outcome.rejected


def long_output(outcome: Outcome, width: int, text: LongText) -> LongRows:
    """The pane for a log that is too long to hold as lines; `text` is the log."""
    out = output_lines(replace(outcome, log=""), width)
    out += _spaced(out, [line(("compiler", "dim"))])
    return LongRows(out, text)


def _spaced(before: list[Line], rows: list[Line]) -> list[Line]:
    return [BLANK, *rows] if before and rows else rows


def feedback_lines(outcome: Outcome, width: int) -> list[Line]:
    """Why it failed, where, and what usually helps."""
    feedback = outcome.feedback
    assert feedback is not None
    verdict = outcome.report.verdict.value.replace("_", " ") if outcome.report else "failed"
    out = prose(feedback.summary or verdict, width, "strong", (f"✕ {verdict}  ", "bad"))
    if feedback.configuration:
        out.append(line(("  at ", "dim"), (one_line(feedback.configuration), "")))
    if feedback.detail:
        out += prose(feedback.detail, width, "", ("  ", ""))
    if feedback.hint:
        out += prose(feedback.hint, width, "info", ("→ ", "info"))
    return out


def check_lines(checks: Sequence[ConfigurationCheck], width: int) -> list[Line]:
    """Checks: failures in full, what passed in as few rows as fit."""
    passed = [c for c in checks if c.ok]
    out: list[Line] = []
    worst = max((c.error or 0.0 for c in passed), default=0.0)
    if passed:
        spans: list[Span] = [("✔ ", "good"), (f"{len(passed)}/{len(checks)} correct", "")]
        if worst > 0:
            spans.append((f"   largest error {worst:.2f} of the tolerance", "dim"))
        out.append(line(*spans))
    for check in checks:
        if check.ok:
            continue
        error = f"error {check.error:.3g}× the tolerance" if check.error is not None else ""
        text = "  ".join(p for p in (error, one_line(check.detail)) if p)
        name = fit(one_line(check.name), min(24, max(8, width // 3)))
        out.append(line(("✕ ", "bad"), name, ("  " + cut(text, max(8, width - 30)), "dim")))
    return out


def resource_lines(resources: Resources, width: int) -> list[Line]:
    """Registers, spills, memory, instruction counts."""
    text = resources.summary()
    out = prose(text, width, "dim") if text else []
    if resources.spill_bytes:
        out = [line(("! ", "warn"), *row.spans) for row in out[:1]] + out[1:]
    for warning in resources.warnings[:8]:
        out += prose(warning, width, "", ("! ", "warn"))
    return out
