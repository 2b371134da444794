"""The output pane: shows the evaluation of the running attempt, a version, or an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avo_tui.domain.records import Attempt, Version
from avo_tui.ui import formats
from avo_tui.ui.loader import Failed, Loader
from avo_tui.ui.panes.output.lines import long_output, output_lines, stage_spans
from avo_tui.ui.panes.output.outcome import (
    Outcome,
    against,
    outcome_of_attempt,
    outcome_of_report,
    outcome_of_version,
)
from avo_tui.ui.panes.painter import PanePainter
from avo_tui.ui.panes.selection import Selection, teach
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot, Source
from avo_tui.ui.text import Line, prose
from avo_tui.ui.widgets.log_rows import LONG
from avo_tui.ui.widgets.long import LongView


class OutputPainter(PanePainter):
    """Benchmark, checks, resources, the compiler's log."""

    NAME = "output"
    HEAD_AT_REST = True

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        super().__init__(screen, loader)
        self.view = screen.query_one("#output-view", LongView)

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        """The outcome, as far as it is known."""
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
