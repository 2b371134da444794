"""The output pane: the outcome of an evaluation, running or finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from avo_tui.domain.attempts import UNDECIDED
from avo_tui.domain.changes import ABOUT
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.machine import MachineInfo, peak, rate, shares
from avo_tui.domain.records import Attempt, Profile, Version
from avo_tui.domain.report import (
    ConfigurationCheck,
    EvaluationProgress,
    EvaluationReport,
    Resources,
)
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.verdict import Feedback
from avo_tui.ui import formats
from avo_tui.ui.loader import Failed, Loader
from avo_tui.ui.panes.base import PanePainter, Selection, teach
from avo_tui.ui.panes.device import health_lines
from avo_tui.ui.panes.scores import benchmark_lines
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot, Source
from avo_tui.ui.session.step_view import AttemptView, StageView
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
from avo_tui.ui.widgets.long import LONG, LongRows, LongText, LongView, log_line


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the output pane shows of one evaluation, running or finished."""

    stages: tuple[StageView, ...] = ()
    report: EvaluationReport | None = None
    checks: tuple[ConfigurationCheck, ...] = ()
    score: Score | None = None
    parent: Score | None = None
    parent_name: str = ""
    """Heading of the column that compares with the parent, with `≈`: it had a run of its own."""
    resources: Resources | None = None
    feedback: Feedback | None = None
    log: str = ""
    decision: GateDecision | None = None
    rejected: str = ""
    device: str = ""
    version: int | None = None
    machine: MachineInfo | None = None
    """What the session measures on, where it is what the score was measured on."""
    profiles: tuple[Profile, ...] = ()
    outdated: bool = False
    """True if harness, compiler, task or machine have changed since the score was measured."""


def outcome_of_attempt(view: AttemptView, reference: str) -> Outcome:
    """From the running or finished attempt: its report if there is one, else its progress."""
    known = Outcome(log=view.log, resources=view.resources)
    if view.report is not None:
        known = outcome_of_report(view.report)
    known = replace(
        known,
        stages=view.stages,
        decision=view.decision,
        rejected=view.rejected,
        version=view.version,
    )
    if view.report is not None:
        return known
    checks: list[ConfigurationCheck] = []
    measured: list[ConfigurationScore] = []
    unit = ""
    for stage in view.stages:
        for row in stage.rows:
            name = row.configuration or f"{row.index}"
            if stage.stage == "check":
                checks.append(
                    ConfigurationCheck(name=name, ok=row.ok, error=row.error, detail=row.detail)
                )
            elif stage.stage == "benchmark" and row.throughput:
                unit = row.unit or unit
                measured.append(_measured(row, name))
    score = Score(unit=unit, reference_baseline=reference, configurations=tuple(measured))
    return replace(known, checks=tuple(checks), score=score if measured else None)


def _measured(row: EvaluationProgress, name: str) -> ConfigurationScore:
    value = row.throughput or 0.0
    return ConfigurationScore(
        name=name,
        throughput=value,
        p20=row.p20 or value,
        p80=row.p80 or value,
        ratio=row.ratio or 0.0,
        baselines=row.baselines,
    )


def outcome_of_report(report: EvaluationReport) -> Outcome:
    return Outcome(
        report=report,
        checks=report.checks,
        score=report.score,
        resources=report.resources,
        feedback=None if report.correct else report.feedback,
        log=report.feedback.log,
        device=report.device,
    )


def outcome_of_version(version: Version, parent: Version | None) -> Outcome:
    """A version's outcome from its record alone."""
    outcome = Outcome(
        score=version.score,
        resources=version.resources,
        decision=version.gate if version.gate.gate != "seed" else None,
        device=version.device,
        version=version.number,
    )
    return against(outcome, parent)


def against(outcome: Outcome, parent: Version | None) -> Outcome:
    """The outcome, compared with a parent."""
    if parent is None:
        return outcome
    return replace(outcome, parent=parent.score, parent_name=f"{ABOUT} vs v{parent.number}")


MOST_ROWS = 60
"""Rows of one profiler's report; the agent's tool shows the whole."""


def roofline_lines(score: Score, machine: MachineInfo | None, width: int) -> list[Line]:
    """Fraction of the machine's peak for each configuration; empty if the peak is not known."""
    if machine is None:
        return []
    top, peak_shares = peak(machine), shares(score, machine)
    if top is None or not peak_shares:
        return []
    parts = " · ".join(
        f"{one_line(name)} {formats.share(part)}" for name, part in peak_shares.items()
    )
    out = prose(parts, width, "", ("of peak  ", "dim"))
    what = f"the peak is {rate(top[1])} ({one_line(top[0])})"
    if machine.peak_bytes > 0:
        ridge = top[1] / machine.peak_bytes
        what += (
            f"; below {ridge:.4g} operations per byte the memory's"
            f" {machine.peak_bytes / 1e9:.4g} GB/s are the limit"
        )
    return [*out, *prose(what, width, "dim")]


def profile_lines(profiles: Sequence[Profile], width: int) -> list[Line]:
    """The profiler's reports on one candidate, the newest first.

    Items (`- `) are wrapped; other rows, such as those of tables, are cut at the width.
    """
    out: list[Line] = []
    for profile in sorted(profiles, key=lambda p: p.at, reverse=True):
        of = f" of {one_line(profile.configuration)}" if profile.configuration else ""
        out.append(line((f"profile{of}", "strong"), (f"  made in step {profile.step}", "dim")))
        for row in clean_lines(profile.summary)[:MOST_ROWS]:
            if row.startswith("- "):
                out += prose(row[2:], width, "", ("· ", "dim"))
            else:
                out.append(line((cut(row, width), "")))
    return out


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
    text = resources.summary()
    out = prose(text, width, "dim") if text else []
    if resources.spill_bytes:
        out = [line(("! ", "warn"), *row.spans) for row in out[:1]] + out[1:]
    for warning in resources.warnings[:8]:
        out += prose(warning, width, "", ("! ", "warn"))
    return out


class OutputPainter(PanePainter):
    NAME = "output"
    HEAD_AT_REST = True

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        super().__init__(screen, loader)
        self.view = screen.query_one("#output-view", LongView)

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        outcome = self._outcome(snapshot, subject)
        if isinstance(outcome, Outcome):
            outcome = _on_machine(outcome, snapshot, subject)
        self._info(outcome, subject)
        if not self.differs((outcome, subject.name)):
            return
        if isinstance(outcome, Outcome):
            self.view.show(lambda width: self._lines(outcome, width), reset=changed)
            return
        if isinstance(outcome, Failed):
            reason = outcome.reason
            self.view.show(lambda width: prose(reason, width, "", ("✕ ", "bad")), reset=True)
            return
        elif subject.live:
            rows = teach(
                "Nothing was evaluated in this step yet.",
                "Compiler log, checks and the benchmark appear here.",
            )
        else:
            rows = teach("reading the report …")
        self.view.show(lambda width: rows, reset=True)

    def _lines(self, outcome: Outcome, width: int) -> Sequence[Line]:
        if len(outcome.log) > LONG:
            return long_output(outcome, width, self.view.text_of(outcome.log))
        return output_lines(outcome, width) or teach("compiling …")

    def _info(self, outcome: Outcome | Failed | None, subject: Selection) -> None:
        if not isinstance(outcome, Outcome):
            self.pane.set_info([])
            return
        info = stage_spans(outcome, max(10, self.pane.size.width - 18))
        if not subject.live:
            info = [(f"{subject.name}  ", "accent"), *info]
        self.pane.set_info(info)

    def _outcome(self, snapshot: Snapshot, subject: Selection) -> Outcome | Failed | None:
        if subject.live:
            return self._running(snapshot)
        source = self.host.session.source
        if source is None:
            return None
        if subject.version is not None:
            return self._of_version(snapshot, source, subject.version)
        assert subject.attempt is not None
        return self._of_attempt(snapshot, source, subject.attempt)

    def _running(self, snapshot: Snapshot) -> Outcome | None:
        attempt_view = snapshot.live.attempt
        if attempt_view is None:
            return None
        outcome = outcome_of_attempt(attempt_view, snapshot.session.task.reference_baseline)
        if attempt_view.attempt.step == 0:
            return outcome
        return against(outcome, snapshot.versions.get(attempt_view.attempt.parent))

    def _of_version(
        self, snapshot: Snapshot, source: Source, version: Version
    ) -> Outcome | Failed | None:
        """The version's record alone, until its report is read."""
        parent = snapshot.versions.get(version.parent) if version.parent is not None else None
        base = outcome_of_version(version, parent)
        attempt = snapshot.attempts.get((version.step, version.attempt))
        if attempt is None or not attempt.has_report:
            return base
        key = ("report", attempt.candidate, attempt.step, attempt.number)
        report = self.loader.get(key, lambda: source.report(attempt))
        if report is None or isinstance(report, Failed):
            return base
        report_outcome = against(outcome_of_report(report), parent)
        return replace(report_outcome, score=version.score, decision=base.decision)

    def _of_attempt(
        self, snapshot: Snapshot, source: Source, attempt: Attempt
    ) -> Outcome | Failed | None:
        if not attempt.has_report:
            return Failed(
                formats.minus(attempt.reason)
                or "the attempt was interrupted before it had a report"
            )
        key = ("report", attempt.candidate, attempt.step, attempt.number)
        report = self.loader.get(key, lambda: source.report(attempt))
        if report is None or isinstance(report, Failed):
            return report
        outcome = against(outcome_of_report(report), snapshot.versions.get(attempt.parent))
        return replace(outcome, rejected=attempt.reason)


def _on_machine(outcome: Outcome, snapshot: Snapshot, subject: Selection) -> Outcome:
    """The outcome with the machine it was measured on, and what a profiler said of the source."""
    engine = snapshot.session.engine
    machine = engine.machine if engine is not None else None
    now = machine.conditions if machine is not None else ""
    if machine is not None and outcome.device not in {"", machine.device}:
        machine = None
    live = snapshot.live.attempt
    of = subject.version or subject.attempt or (live.attempt if live is not None else None)
    profiles = snapshot.profiles_of(of.candidate) if of is not None else ()
    outdated = _outdated(outcome, subject.version, now)
    return replace(outcome, machine=machine, profiles=profiles, outdated=outdated)


def _outdated(outcome: Outcome, version: Version | None, now: str) -> bool:
    """Whether a score was measured under other conditions than `now`, and never under these."""
    if outcome.score is None or outcome.report is None or not now:
        return False
    again = {m.conditions for m in version.remeasurements} if version is not None else set()
    return outcome.report.conditions not in {"", now} and now not in again
