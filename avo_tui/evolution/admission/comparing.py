"""Measures two candidates alternately, one replicate after the other, until a gate can decide.

Every replicate is recorded as an event, so none is lost if the engine is killed, and a second
submission of the same source continues where the first one stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

from avo_tui.domain import events as ev
from avo_tui.domain.base import ObjectId, now
from avo_tui.domain.evidence import Comparison, Ledger, estimate, next_look
from avo_tui.domain.gate_plan import GatePlan
from avo_tui.domain.gate_rules import GateDecision, Rival, decide, scores_bear_out
from avo_tui.domain.questions import EvaluateQuestion, RemeasureQuestion, ReportQuestion
from avo_tui.domain.records import Remeasurement, Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import Score
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.control import Cut
from avo_tui.evolution.run import Run
from avo_tui.operators.ports import AttemptResult


class NotComparableError(Exception):
    """A measurement that the decision needs could not be made; the message says why."""


class RivalFailedError(Exception):
    """The version that a candidate was measured beside failed; the candidate is not to blame."""

    def __init__(self, rival: ObjectId, verdict: Verdict, words: str) -> None:
        """`rival` is the version's source; `verdict` and `words` describe its failure."""
        super().__init__(words)
        self.rival = rival
        self.verdict = verdict


@dataclass(frozen=True)
class Entrant:
    """A candidate in a comparison, and the attempt under which its progress is displayed."""

    candidate: ObjectId
    attempt: int
    """Number of the attempt; 0 if the candidate is not an attempt."""


def pair_text(comparison: Comparison, ledger: Ledger) -> str:
    """Which pair comes next, and what the ones before showed: `3 of 4 (so far +4.10% to +7.90%,
    about 6 s to go)`; the gate looks again after the 4th."""
    pairs = comparison.replicates
    look = next_look(len(pairs))
    text = f"{len(pairs) + 1} of {look}"
    if not pairs:
        return text
    low, high = estimate(pairs, ledger.prior(comparison)).interval()
    seconds = sum(pair.seconds for pair in pairs) / len(pairs) * (look - len(pairs))
    return f"{text} (so far {low:+.2%} to {high:+.2%}, about {seconds:.0f} s to go)"


class Comparisons:
    """Makes and records the measurements that gates and audits decide on."""

    def __init__(self, run: Run, evaluations: EvaluationRecorder) -> None:
        self._run = run
        self._evaluations = evaluations

    @property
    def ledger(self) -> Ledger:
        """All comparisons so far."""
        return Ledger(self._run.state.comparisons.values())

    async def compare(self, attempt: AttemptResult, cut: Cut) -> tuple[GateDecision, Score | None]:
        """The gate's decision on an attempt, and the attempt's score if that was measured again.

        Raises NotComparableError, RivalFailedError and Interrupted; the replicates measured until
        then stay on record.
        """
        score = attempt.report.score
        assert score is not None
        gate = self._run.state.session.settings.gate
        reference = self._run.reference()
        conditions = self._run.conditions
        rival = Rival(reference.number, reference.score_under(conditions))
        if reference.computes_nothing:
            reason = f"correct, where v{reference.number} computes nothing yet"
            decision = GateDecision(
                gate=gate, accepted=True, reason=reason, reference=reference.number
            )
            return decision, None
        entrant = Entrant(attempt.candidate, attempt.number)
        comparison = self._comparison(entrant.candidate, reference)
        begun = len(comparison.replicates)
        decision, comparison = await self._decide(entrant, rival, comparison, begun, cut)
        if not decision.accepted or scores_bear_out(decision, score, rival.score):
            return decision, None
        return await self._look_again(entrant, reference, comparison, cut)

    async def _decide(
        self, entrant: Entrant, rival: Rival, comparison: Comparison, begun: int, cut: Cut
    ) -> tuple[GateDecision, Comparison]:
        """Add replicates until the gate decides."""
        gate = self._run.state.session.settings.gate
        while True:
            decision = decide(gate, rival, comparison, self.ledger, begun)
            if decision is not None:
                told = {"spent": comparison.spent(), "busy": comparison.busy}
                return decision.replaced(**told), comparison
            self.foresee(comparison, rival, begun)
            comparison = await self.replicate(entrant, comparison, cut)

    def _comparison(self, candidate: ObjectId, reference: Version) -> Comparison:
        """The one on record of a candidate with the version to beat, or a new one."""
        pair, conditions = (candidate, reference.candidate), self._run.conditions
        claims = self._run.state.session.settings.gate != "paper"
        return self.ledger.find(*pair, conditions) or self.ledger.begin(
            *pair, conditions, claims=claims
        )

    def foresee_gate(self, candidate: ObjectId) -> None:
        """Tell an evaluator that is far away how the gate will judge a candidate, before it is
        evaluated."""
        reference = self._run.reference()
        if self._run.evaluator.queue() is not None and not reference.computes_nothing:
            comparison = self._comparison(candidate, reference)
            rival = Rival(reference.number, reference.score_under(self._run.conditions))
            self.foresee(comparison, rival, len(comparison.replicates))

    def foresee(self, comparison: Comparison, rival: Rival, begun: int = 0) -> None:
        """Tell an evaluator that is far away what will be asked of it."""
        if self._run.evaluator.queue() is not None:
            state = self._run.state
            self._run.evaluator.foresee(
                GatePlan.of(
                    state.session.settings.gate, comparison, tuple(state.comparisons.values()),
                    self._run.candidate(comparison.against), rival, begun,
                )
            )  # fmt: skip

    async def replicate(self, entrant: Entrant, comparison: Comparison, cut: Cut) -> Comparison:
        """Measure one more replicate, in fresh processes; returns the comparison with it added.

        Raises NotComparableError, RivalFailedError and Interrupted.
        """
        run, done = self._run, len(comparison.replicates)
        question = RemeasureQuestion(
            files=run.candidate(comparison.candidate).files,
            other=run.candidate(comparison.against).files,
            replicate=done,
        )
        which = pair_text(comparison, self.ledger)
        report = await self.ask(question, cut, entrant.attempt, which)
        if report.beside is not None:
            raise RivalFailedError(comparison.against, report.beside, report.feedback.summary)
        if not report.correct or report.paired is None:
            why = report.feedback
            told = ": ".join(filter(None, [why.summary or str(report.verdict), why.detail]))
            raise NotComparableError(f"measured again: {told}")
        scored = {c.name for c in run.state.session.task.configurations}
        if scored != set(report.paired.configurations):  # a worker with another version of the task
            names = ", ".join(sorted(report.paired.configurations))
            raise NotComparableError(f"measured again on other configurations: {names}")
        parts = {name: round(seconds, 3) for name, seconds in report.seconds.parts().items()}
        busy = report.health.busy if report.health is not None else ""
        took = report.paired.model_copy(
            update={"seconds": round(report.seconds.total, 3), "parts": parts, "busy": busy}
        )
        row = comparison.replaced(replicates=(took,))
        run.record(ev.PairMeasured(attempt=entrant.attempt, comparison=row))
        return run.state.comparisons[row.number]

    async def ask(
        self, question: ReportQuestion, cut: Cut, attempt: int = 0, pair: str = ""
    ) -> EvaluationReport:
        """As `EvaluationRecorder.ask`; raises NotComparableError if the evaluator fails."""
        try:
            return await self._evaluations.ask(question, cut, attempt, pair)
        except EvaluatorError as error:
            self._run.trouble("gate", str(error))
            raise NotComparableError(str(error)) from error

    async def _look_again(
        self, entrant: Entrant, reference: Version, comparison: Comparison, cut: Cut
    ) -> tuple[GateDecision, Score | None]:
        """Measure more pairs because the gain and the two scores do not agree.

        Only the pairs decide, for the scores are of different runs. Both are scored again, too, so
        that what is shown beside the gain is of the same minutes. Returns the decision on all
        replicates, and the candidate's new score.
        """
        run = self._run
        score = await self._score(entrant.candidate, entrant.attempt, cut)
        beside = await self._score(reference.candidate, entrant.attempt, cut)
        again = Remeasurement(
            at=now(), score=beside, device=reference.device, conditions=run.conditions
        )
        run.record(ev.VersionRemeasured(number=reference.number, measurement=again))
        begun = len(comparison.replicates)
        comparison = await self.replicate(entrant, comparison, cut)
        rival = Rival(reference.number, beside)
        decision, comparison = await self._decide(entrant, rival, comparison, begun, cut)
        return decision, score

    async def _score(self, candidate: ObjectId, attempt: int, cut: Cut) -> Score:
        question = EvaluateQuestion(files=self._run.candidate(candidate).files)
        report = await self.ask(question, cut, attempt)
        if report.score is None:
            raise NotComparableError(f"measured again: {report.feedback.summary or report.verdict}")
        return report.score
