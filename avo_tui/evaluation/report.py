"""Shows reports: the JSON of the command line, and text for a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.score import Score


def form(report: EvaluationReport) -> dict[str, object]:
    body = report.model_dump(mode="json")
    score = report.score
    if score is not None:
        body["score"] |= {
            "correct": score.correct,
            "aggregate": score.aggregate,
            "geomean": score.geomean,
            "noise": score.noise,
        }
    body["seconds"]["total"] = report.seconds.total
    return body


def as_json(report: EvaluationReport) -> str:
    return json.dumps(form(report), indent=2)


WAITING_SECONDS = 60.0
"""Least seconds between two lines about one and the same wait."""


class ProgressLines:
    """Lines for a terminal, in which a wait is told when it begins and when something changes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wait = ""
        self._told = 0.0

    def line(self, progress: EvaluationProgress) -> str:
        """One line, or nothing where there is nothing new to say."""
        if progress.stage == "waiting":
            wait = "" if progress.state != "started" else progress.detail.rpartition("; waited")[0]
            same = bool(wait) and wait == self._wait
            if same and self._clock() - self._told < WAITING_SECONDS:
                return ""
            self._wait, self._told = wait, self._clock()
            return f"waiting: {progress.detail}" if progress.state == "started" else ""
        if progress.state == "configuration":
            case = f"{progress.index}/{progress.count} {progress.configuration}"
            line = f"  {progress.stage} {case} {'ok' if progress.ok else 'FAILED'}"
            if progress.ratio is not None:
                line += f" {progress.ratio:.3f}×"
            if progress.error is not None:
                line += f" error {progress.error:.2f} of the tolerance"
            return line
        if progress.state == "finished":
            return f"{progress.stage}: {progress.seconds or 0:.2f} s"
        return ""


def as_text(report: EvaluationReport) -> str:
    lines = [f"{report.task} {report.candidate[:10]}: {report.verdict}"]
    if report.feedback.summary != report.verdict:
        lines[0] += f" — {report.feedback.summary}"
    for text in (report.feedback.detail, report.feedback.hint):
        if text:
            lines.append(f"  {text}")
    if report.feedback.log and not report.correct:
        lines += ["", *(f"  | {line}" for line in report.feedback.log.splitlines()[:40])]
    if report.resources.summary():
        lines.append(f"  {report.resources.summary()}")
    if report.score is not None:
        lines += _table(report.score, "configuration")
        lines += [f"  {remark}" for remark in report.score.remarks]
        prepared = [c for c in report.score.configurations if c.prepare_milliseconds]
        if prepared:
            times = ", ".join(f"{c.name} {c.prepare_milliseconds:.3g} ms" for c in prepared)
            lines.append(f"  preparing the weights, once and not counted: {times}")
    if report.breadth is not None:
        lines += _table(report.breadth, "on other inputs")
    if report.sandbox_warning:
        lines.append(f"  {report.sandbox_warning}")
    lines.append(f"  {report.device}; {report.sandbox}")
    lines += [f"  {line}" for line in report.seconds.lines()]
    return "\n".join(lines)


def _table(score: Score, heading: str) -> list[str]:
    width = max(16, *(len(c.name) + 2 for c in score.configurations))
    lines = [f"  {heading:<{width}}{score.unit:>12}{'p20–p80':>20}{'ratio':>8}  baselines"]
    for c in score.configurations:
        spread = f"{c.p20:.1f}–{c.p80:.1f}"
        others = ", ".join(f"{n} {v:.1f}" for n, v in c.baselines.items())
        flags = f"  ({', '.join(c.flags)})" if c.flags else ""
        lines.append(
            f"  {c.name:<{width}}{c.throughput:>12.2f}{spread:>20}{c.ratio:>8.3f}  {others}{flags}"
        )
    return lines
