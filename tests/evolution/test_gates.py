"""Gates: measured again, interleaved with the best of the line, before the commit."""

import re

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import Ledger
from avo_tui.domain.gate_rules import GateName
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.score import PairedMeasurement
from avo_tui.domain.verdict import Verdict
from avo_tui.evolution.admission.comparing import pair_text
from avo_tui.operators.ports import StepOutcome, SubmitResult, Workbench
from tests.evolution.fake_evaluator import TASK
from tests.evolution.laboratory import MakeLab
from tests.evolution.test_engine import Scripted, with_values


@pytest.mark.parametrize(
    ("gate", "values", "bias", "passes"),
    [
        ("strict", {"TILE_K": "64"}, 1.0, True),
        ("strict", {"TILE_K": "64"}, 0.8, False),  # a lucky first measurement
        ("strict", {"UNROLL": "8"}, 1.0, False),  # a clear loser is measured in turn, too
        ("strict", {"TILE_K": "64"}, 1.0 / 1.25, False),  # equal is not better
        ("paper", {"WIDTH": "4"}, 1.0 / 1.04, True),  # equal matches
        ("paper", {"TILE_K": "64"}, 0.79, False),
        ("vector", {"TILE_K": "64"}, 1.0, True),
        ("vector", {"UNROLL": "8"}, 1.0, False),
    ],
)
async def test_gate(
    make_lab: MakeLab,
    gate: GateName,
    values: dict[str, str],
    bias: float,
    passes: bool,
) -> None:
    words: list[SubmitResult] = []

    async def submit(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(**values), "a try")
        words.append(await bench.evaluating.submit(attempt, "plan", "summary"))
        return StepOutcome(outcome="committed" if words[0].version else "nothing")

    lab = make_lab(RunSettings(gate=gate))
    lab.evaluator.paired_bias = bias
    lab.start(Scripted(submit))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    (word,) = words
    assert word.decision is not None and word.decision.gate == gate
    assert word.decision.remeasured
    assert (word.version is not None) is passes
    assert word.decision.reference == 0
    assert lab.state.steps[1].outcome == ("committed" if passes else "nothing")
    seed, tried = lab.state.versions[0].candidate, with_values(**values).id
    assert set(lab.evaluator.paired) == {(tried, seed)}
    assert word.decision.replicates == len(lab.evaluator.paired) == len(lab.of(ev.PairMeasured))
    decided = lab.of(ev.GateDecided)
    assert [d.decision for d in decided] == [word.decision]
    if passes:
        assert lab.state.session.head == 1
    else:
        assert lab.state.attempts[1, 1].reason == word.reason == word.decision.reason


@pytest.mark.parametrize(
    ("elsewhere", "least", "words"),
    [
        ({"large rising": 0.41, "small odd": 1.2}, None, ""),
        ({"large rising": 0.41, "small odd": 1.2}, 0.4, ""),
        ({"small odd": 1.2, "large rising": 0.41}, 0.5, "worst 0.41 × library, at large rising"),
        ({}, None, ""),
        ({}, 0.5, "correct"),
        (Verdict.WRONG_RESULT, None, "on other inputs: wrong_result: as pretended"),
        (Verdict.TIMEOUT, None, ""),
        (Verdict.TIMEOUT, 0.5, "timeout"),
        (Verdict.HARNESS_ERROR, None, ""),
    ],
)
async def test_what_is_committed_is_timed_on_other_inputs(
    make_lab: MakeLab, elsewhere: dict[str, float] | Verdict, least: float | None, words: str
) -> None:
    lab = make_lab()
    lab.evaluator.elsewhere = elsewhere
    results: list[SubmitResult] = []
    lab.start(submitter(1, results, TILE_K="64"))
    lab.run.state.change_session(task=TASK.replaced(least_breadth=least))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    (result,), (decided,) = results, lab.of(ev.GateDecided)
    assert decided.decision == result.decision and decided.decision.remeasured
    if words:
        assert result.version is None and decided.decision.outcome == "refused"
        assert words in result.reason and not decided.decision.accepted
        return
    version = lab.state.versions[1]
    ratios = elsewhere if isinstance(elsewhere, dict) else {}
    assert version.score.breadth == ratios
    assert decided.score == (version.score if ratios else None), "stands after a crash, too"


async def test_the_score_of_a_version_is_that_of_its_evaluation(make_lab: MakeLab) -> None:
    """The paired measurement decides; what is written down is the evaluation against baselines."""

    async def submit(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "a try")
        await bench.evaluating.submit(attempt, "", "")
        return StepOutcome(outcome="committed")

    lab = make_lab()
    lab.start(Scripted(submit))
    await lab.versions(2)
    version = lab.state.versions[1]
    assert version.aggregate == pytest.approx(0.2)
    assert version.score.configurations[0].baselines == {"library": 100.0}
    assert version.gate.gain == pytest.approx(3.0, rel=0.01)


def submitter(
    times: int, words: list[SubmitResult], *, evaluate_again: bool = True, **values: str
) -> Scripted:
    """An operator that submits the same source again and again, in one step."""

    async def submit(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(**values), "a try")
        for turn in range(times):
            if turn and evaluate_again:
                attempt = await bench.evaluating.evaluate(with_values(**values), "a try")
            words.append(await bench.evaluating.submit(attempt, "", ""))
        return StepOutcome(outcome="nothing")

    return Scripted(submit)


@pytest.mark.parametrize("evaluate_again", [True, False])
async def test_the_same_source_is_pooled_and_not_rolled_again(
    make_lab: MakeLab, evaluate_again: bool
) -> None:
    """A lucky second look must not commit what the first one did not: all of it counts."""
    words: list[SubmitResult] = []
    lab = make_lab()
    lab.evaluator.paired_bias = 1 / 1.04
    lab.evaluator.replicate_bias = lambda n: (1.02, 0.98)[n % 2] if n < 8 else 1.02
    lab.start(submitter(3, words, evaluate_again=evaluate_again, WIDTH="4"))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    assert len(lab.state.comparisons) == 1, "one comparison, one share of the error budget"
    (comparison,) = lab.state.comparisons.values()
    counts = [w.decision.replicates for w in words if w.decision is not None]
    assert [w.decision.outcome for w in words if w.decision] == ["unclear"] * 3
    assert counts == sorted(set(counts)), "each submission adds to the record"
    assert len(lab.evaluator.paired) == len(comparison.replicates) == counts[-1]
    assert len(lab.evaluator.evaluations) == 2, "the score is answered from the record"


async def test_what_the_gate_refused_is_answered_from_the_record(make_lab: MakeLab) -> None:
    words: list[SubmitResult] = []
    lab = make_lab()
    lab.evaluator.paired_bias = 0.9 / 1.04
    lab.evaluator.replicate_bias = lambda n: 1.0 if n < 8 else 2.0
    lab.start(submitter(5, words, WIDTH="4"))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    assert [w.decision.outcome for w in words if w.decision] == ["refused"] * 5
    assert [w.decision.replicates for w in words if w.decision] == [1, 2, 4, 8, 8]
    assert len(lab.evaluator.paired) == 8


async def test_a_gain_that_the_scores_do_not_bear_out_takes_more_pairs(make_lab: MakeLab) -> None:
    """+1% by the scores, +40% at the gate: more pairs decide, and no score does."""
    words: list[SubmitResult] = []
    lab = make_lab()
    lab.evaluator.paired_bias = 1.4
    lab.start(submitter(1, words, WIDTH="4"))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    (word,) = words
    assert word.version is not None and word.decision is not None
    assert word.decision.replicates > 2 and word.decision.gain == pytest.approx(0.456)
    assert len(lab.state.versions[0].remeasurements) == 1


async def test_scores_of_a_busy_minute_refuse_nobody(make_lab: MakeLab) -> None:
    """The score is half of the head's, measured in turn it is 25% faster: it is committed."""
    words: list[SubmitResult] = []
    lab = make_lab()
    tried = with_values(TILE_K="64")

    def busy(candidate: Candidate) -> None:
        lab.evaluator.score_bias = 0.4 if candidate.id == tried.id else 1.0

    lab.evaluator.on_evaluate = busy
    lab.start(submitter(1, words, TILE_K="64"))
    await lab.versions(2)
    assert lab.state.versions[1].gate.gain == pytest.approx(0.25)


async def test_a_score_that_was_a_fluke_is_replaced_by_the_fresh_one(make_lab: MakeLab) -> None:
    """The scores disagreed with the gate once; measured again they agree."""
    words: list[SubmitResult] = []
    lab = make_lab()
    tried = with_values(TILE_K="64")

    def lucky(candidate: Candidate) -> None:
        first = lab.evaluator.evaluations.count(tried.id) == 1
        lab.evaluator.score_bias = 1.5 if candidate.id == tried.id and first else 1.0

    lab.evaluator.on_evaluate = lucky
    lab.start(submitter(1, words, TILE_K="64"))
    await lab.versions(2)
    version = lab.state.versions[1]
    assert lab.state.attempts[1, 1].aggregate == pytest.approx(0.05 * 1.25 * 1.5)
    assert version.aggregate == pytest.approx(0.05 * 1.25)
    assert version.gate.gain == pytest.approx(0.25)


async def test_a_kill_between_replicates_loses_none(make_lab: MakeLab) -> None:
    words: list[SubmitResult] = []
    lab = make_lab()
    lab.evaluator.paired_bias = 1.03 / 1.04
    lab.evaluator.replicate_bias = lambda n: (1.004, 0.996)[n % 2]
    lab.evaluator.hold_paired = 3
    lab.start(submitter(1, words, WIDTH="4"))
    await lab.until(lambda: len(lab.of(ev.PairMeasured)) == 3 and lab.evaluator.running)
    await lab.killed()
    lab.evaluator.hold_paired = None
    lab.start(submitter(1, words, WIDTH="4"))
    await lab.until(lambda: words)
    (comparison,) = lab.state.comparisons.values()
    assert comparison.number == 1 and len(comparison.replicates) >= 4
    assert words[0].decision is not None
    assert words[0].decision.replicates == len(comparison.replicates)
    assert len(lab.evaluator.paired) == len(comparison.replicates) + 1, "one was cut off"


def test_who_waits_for_pairs_is_told_what_those_before_showed() -> None:
    pair = PairedMeasurement(configurations={"c": (1.04, 1.05, 1.06)}, seconds=3.0)
    ledger = Ledger([])
    comparison = ledger.begin("a" * 64, "b" * 64, "", "gate", claims=True)
    assert pair_text(comparison, ledger) == "1 of 2"
    third = pair_text(comparison.replaced(replicates=(pair, pair)), ledger)
    assert re.fullmatch(r"3 of 4 \(so far \+\d\.\d\d% to \+\d\.\d\d%, about 6 s to go\)", third)
