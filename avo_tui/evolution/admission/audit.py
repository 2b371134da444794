"""Audits: head and best version are measured again and replaced if they fail.

A version is committed because of the measurements in which it looked best, so these are too
favourable. An audit takes new measurements in fresh processes. It happens between two steps, at
intervals and after every change of the harness, and does not count as evaluations of the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.base import now
from avo_tui.domain.device import busy_text
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.gate_rules import AuditFinding, Rival, judge_audit
from avo_tui.domain.questions import EvaluateQuestion
from avo_tui.domain.records import Audit, Remeasurement, Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.verdict import Verdict
from avo_tui.evolution.admission.comparing import (
    Comparisons,
    Entrant,
    NotComparableError,
    RivalFailedError,
)
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.control import Cut
from avo_tui.evolution.options import count
from avo_tui.evolution.run import Run
from avo_tui.operators.ports import Interrupted

LOOK_SECONDS = 1.0
"""Seconds between two looks whether a worker is still there for an audit."""

_NO_WORKER = ("no worker is there", "between two steps at which one is")
"""Why an audit is put off where workers come and go, and when it is tried again."""

UNDECIDED = {Verdict.TIMEOUT, Verdict.OUT_OF_MEMORY}
"""Verdicts that the machine may have caused; they do not count against a version."""


class Auditor:
    """Measures head and best version again when an audit is due."""

    def __init__(self, run: Run, evaluations: EvaluationRecorder) -> None:
        self._run = run
        self._evaluations = evaluations
        self._comparisons = Comparisons(run, evaluations)
        self._blamed: set[int] = set()
        """Versions that failed when measured beside a candidate, but passed when measured alone."""
        self._put_off_until = 0
        """After an audit that could not be made: number of evaluations of the run before the next
        try."""

    async def between_steps(self) -> None:
        """Make the audits that are due. Returns early if the person interrupts or a measurement
        fails; what is put off is announced."""
        for number, why in self._due():
            if self._deserted():
                self._put_off(number, why, *_NO_WORKER)
                return
            self._run.set_state("running", f"measuring v{number} again: {why}")
            try:
                await self._attended(self._audit(self._run.state.versions[number]))
            except Interrupted:
                if self._deserted():
                    self._put_off(number, why, *_NO_WORKER)
                return
            except (NotComparableError, RivalFailedError) as error:
                used = self._run.state.session.spend.evaluations
                self._put_off_until = used + max(1, self._every)
                later = f"once the run has made {self._put_off_until} evaluations ({used} by now)"
                self._put_off(number, why, str(error), later)
                return
        if self._run.state.session.spend.evaluations >= self._put_off_until:
            self._run.audit_waits = ""

    def _deserted(self) -> bool:
        """Whether workers come and go, and none is there. An audit then waits for a time between
        two steps at which one is: it would hold up all that needs no device, for days perhaps."""
        queue = self._run.evaluator.queue()
        return queue is not None and not queue.working

    async def _attended(self, audit: Coroutine[None, None, None]) -> None:
        """Make an audit while there is a worker for it. Raises what it raises, and Interrupted
        where the last worker goes."""
        work = asyncio.ensure_future(audit)
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=LOOK_SECONDS)
                if not work.done() and self._deserted():
                    raise Interrupted("the worker is gone")
            work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def rival_failed(self, number: int, failure: RivalFailedError, cut: Cut) -> bool:
        """Audit a version that failed when measured beside a candidate.

        Returns True if the gate should decide again. The version loses its place if it fails alone
        too, or fails beside a candidate for the second time. Returns False if the machine may have
        caused the failure, or if the version is the seed. Raises NotComparableError and
        Interrupted.
        """
        version = self._run.state.versions[number]
        if version.parent is None or failure.verdict in UNDECIDED:
            return False
        report = await self._evaluate(version, cut)
        if not report.verdict.judges_candidate or report.verdict in UNDECIDED:
            return False
        if not report.correct:
            words = f"{report.verdict}: {report.feedback.summary}"
        elif number in self._blamed:
            words = f"it failed beside a candidate twice ({failure}), though alone it passes"
        else:
            self._blamed.add(number)
            return True
        self._conclude(version, AuditFinding(outcome="fails", reason=words))
        return True

    def _put_off(self, number: int, due: str, cause: str, later: str) -> None:
        """Tell person and operator, once, which audit was not made, why, and when it will be."""
        text = (
            f"v{number} could not be measured again ({due}): {cause}. It is tried again {later};"
            " until then its earlier measurements count"
        )
        if text != self._run.audit_waits:
            self._run.audit_waits = text
            self._run.trouble("audit", text)

    @property
    def _every(self) -> int:
        return count(self._run.state.session.settings, "audit.every")

    def _due(self) -> list[tuple[int, str]]:
        """(version number, reason) for each audit that is due, in order of number.

        The older version comes first because the newer one is built on it.
        """
        state, every = self._run.state, self._every
        head, best = state.head, state.best
        used = state.session.spend.evaluations
        if head is None or best is None or every <= 0 or used < self._put_off_until:
            return []
        last = max((a.evaluations for v in state.versions.values() for a in v.audits), default=0)
        due = []
        for version in sorted({head.number: head, best.number: best}.values(), key=_number):
            if version.parent is None or not version.holds:
                continue
            under = version.audits[-1].conditions if version.audits else self._conditions(version)
            if under and self._run.conditions and under != self._run.conditions:
                due.append((version.number, "the harness or the machine has changed"))
            elif used - last >= every:
                due.append((version.number, f"{used - last} evaluations since the last audit"))
            elif not busy_text(self._run.devices):
                if version.under_load and not version.audits:
                    due.append((version.number, "it was committed while the machine was busy"))
                elif version.audits and _left_open(version.audits[-1], used):
                    due.append((version.number, "the machine was busy at the last audit"))
        return due

    def _conditions(self, version: Version) -> str:
        """The conditions a version was measured under; for old records, taken from its report."""
        if version.conditions:
            return version.conditions
        attempt = self._run.state.attempts.get((version.step, version.attempt))
        report = self._run.report(attempt) if attempt is not None else None
        return report.conditions if report is not None else ""

    async def _audit(self, version: Version) -> None:
        rival = self._rival(version)
        if not rival.computes_nothing:
            under = rival.score_under(self._run.conditions)
            self._comparisons.foresee(self._comparison(version, rival), Rival(rival.number, under))
        report = await self._evaluate(version, self._run.control.interrupts_job)
        if not report.verdict.judges_candidate:
            raise NotComparableError(report.feedback.summary)
        if report.score is not None:
            measurement = Remeasurement(
                at=now(), score=report.score, device=report.device, conditions=report.conditions
            )
            self._run.record(ev.VersionRemeasured(number=version.number, measurement=measurement))
            finding = await self._beside(version, rival)
        else:
            outcome = "unclear" if report.verdict in UNDECIDED else "fails"
            words = f"{report.verdict}: {report.feedback.summary}"
            finding = AuditFinding.model_validate({"outcome": outcome, "reason": words})
        self._conclude(version, finding)

    async def _evaluate(self, version: Version, cut: Cut) -> EvaluationReport:
        question = EvaluateQuestion(files=self._run.candidate(version.candidate).files)
        return await self._comparisons.ask(question, cut)

    def _rival(self, version: Version) -> Version:
        """The version that this one was committed against, or the best one before it."""
        versions = self._run.state.versions
        assert version.parent is not None
        rival = versions.get(version.gate.reference or 0)
        if rival is None or not rival.holds or rival.number >= version.number:
            rival = lineage.line_best(versions, version.parent)
        return rival

    def _comparison(self, version: Version, rival: Version) -> Comparison:
        return self._comparisons.ledger.begin(
            version.candidate, rival.candidate, self._run.conditions, "audit", claims=False
        )

    async def _beside(self, version: Version, rival: Version) -> AuditFinding:
        """Measure a version alternately with its rival, until the audit decides."""
        run = self._run
        if rival.computes_nothing:
            reason = f"correct; v{rival.number} computes nothing: there is no gain to audit"
            return AuditFinding(outcome="holds", reason=reason)
        ledger, comparison = self._comparisons.ledger, self._comparison(version, rival)
        entrant = Entrant(version.candidate, 0)
        while True:
            finding = judge_audit(comparison, ledger, rival.number)
            if finding is not None:
                if finding.outcome == "fails" and comparison.busy:
                    why = f"{finding.reason}; times of a busy machine take no head"
                    finding = finding.replaced(outcome="unclear", reason=why)
                return finding.replaced(busy=comparison.busy)
            cut = run.control.interrupts_job
            comparison = await self._comparisons.replicate(entrant, comparison, cut)

    def _conclude(self, version: Version, finding: AuditFinding) -> None:
        run = self._run
        audit = Audit(
            at=now(),
            conditions=run.conditions,
            evaluations=run.state.session.spend.evaluations,
            **finding.model_dump(),
        )
        head = None
        if finding.outcome == "fails" and version.number == run.state.session.head:
            assert version.parent is not None
            head = lineage.line_best(run.state.versions, version.parent).number
        run.record(ev.VersionAudited(number=version.number, audit=audit, head=head))
        if finding.outcome == "fails":
            run.trouble("audit", f"v{version.number} does not hold: {finding.reason}")


def _left_open(audit: Audit, evaluations: int) -> bool:
    """Whether load kept an audit from deciding, and the run has gone on since."""
    return audit.outcome == "unclear" and bool(audit.busy) and evaluations > audit.evaluations


def _number(version: Version) -> int:
    return version.number
