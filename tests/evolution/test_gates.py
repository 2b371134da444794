"""Gates: measured again, interleaved with the best of the line, before the commit."""

from __future__ import annotations

import pytest
from laboratory import MakeLab
from test_engine import Scripted, with_values

from avo_tui.domain import events as ev
from avo_tui.domain.acceptance import GateName
from avo_tui.domain.records import RunSettings
from avo_tui.operators.ports import StepOutcome, SubmitResult, Workbench


@pytest.mark.parametrize(
    ("gate", "values", "bias", "passes", "measured_again"),
    [
        ("strict", {"TILE_K": "64"}, 1.0, True, True),
        ("strict", {"TILE_K": "64"}, 0.8, False, True),  # a lucky first measurement
        ("strict", {"UNROLL": "8"}, 1.0, False, False),  # a clear loser is not measured again
        ("strict", {"TILE_K": "64"}, 1.0 / 1.25, False, True),  # equal is not better
        ("paper", {"TILE_K": "64"}, 1.0 / 1.25, True, True),  # equal matches
        ("paper", {"TILE_K": "64"}, 0.79, False, True),
        ("vector", {"TILE_K": "64"}, 1.0, True, True),
        ("vector", {"UNROLL": "8"}, 1.0, False, True),
    ],
)
async def test_gate(
    make_lab: MakeLab,
    gate: GateName,
    values: dict[str, str],
    bias: float,
    passes: bool,
    measured_again: bool,
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
    assert word.decision.remeasured is measured_again
    assert (word.version is not None) is passes
    assert word.decision.reference == 0
    assert lab.state.steps[1].outcome == ("committed" if passes else "nothing")
    seed, tried = lab.state.versions[0].candidate, with_values(**values).id
    assert lab.evaluator.paired == ([(tried, seed)] if measured_again else [])
    decided = lab.of(ev.GateDecided)
    assert [d.decision for d in decided] == [word.decision]
    if passes:
        assert lab.state.session.head == 1
    else:
        assert lab.state.attempts[1, 1].reason == word.reason == word.decision.reason


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
