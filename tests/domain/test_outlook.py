"""What is said of the next candidate before it is submitted is what the gate then asks for."""

import math
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.evidence import LOOKS, Comparison, Ledger
from avo_tui.domain.gate_rules import GateDecision, GateName, Rival, decide
from avo_tui.domain.outlook import outlook
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.score import MEDIAN_ERROR, SIGMAS_TO_P80, PairedMeasurement
from avo_tui.domain.state import SessionState
from tests.operators.fake_workbench import FakeWorkbench

ROUNDS = 20


def replicates(mean: float, spread: float, count: int) -> tuple[PairedMeasurement, ...]:
    """An even number of pairs with this mean and standard deviation of their log gains.

    Their rounds predict a hair more than that.
    """
    step = spread * math.sqrt((count - 1) / count)
    half = 1.0001 * spread * math.sqrt(ROUNDS) * SIGMAS_TO_P80 / MEDIAN_ERROR
    gains = [math.exp(mean + step * (-1) ** i) for i in range(count)]
    rows = [{"c0": (gain * (1 - half), gain, gain * (1 + half))} for gain in gains]
    return tuple(PairedMeasurement(configurations=row, rounds={"c0": ROUNDS}) for row in rows)


def session(gate: GateName, spread: float = 0.0, earlier: int = 0) -> SessionState:
    state = FakeWorkbench(RunSettings(operator="agent", gate=gate)).state
    for number in range(1, earlier + 1):
        comparison = Ledger(state.comparisons.values()).begin(
            f"{number:064x}", "b" * 64, "here", claims=gate != "paper"
        )
        rows = replicates(-0.001, spread, 4)
        state.comparisons[number] = comparison.replaced(replicates=rows)
    return state


def accepted(state: SessionState, gain: float, spread: float, pairs: int) -> bool:
    """Whether the gate `strict` accepts a next candidate after so many pairs."""
    ledger = Ledger(state.comparisons.values())
    rows = replicates(math.log1p(gain), spread, pairs)
    comparison: Comparison = ledger.begin("a" * 64, "b" * 64, "here").replaced(replicates=rows)
    assert state.head is not None
    decision = decide("strict", Rival(0, state.head.score), comparison, ledger)
    return decision is not None and decision.accepted


@given(spread=st.floats(0.001, 0.04), earlier=st.integers(1, 20), pairs=st.sampled_from(LOOKS))
def test_the_gate_accepts_from_the_gain_that_was_told(
    spread: float, earlier: int, pairs: int
) -> None:
    state = session("strict", spread, earlier)
    known = outlook(state, "here")
    assert known is not None
    assert known.spread.prior.variance == pytest.approx(spread**2, rel=1e-3)
    assert known.spread.prior.pairs == 4 * min(earlier, 12)
    gain = known.needed[pairs]
    assert accepted(state, gain * 1.01, spread, pairs)
    assert not accepted(state, gain * 0.97, spread, pairs)


@given(spread=st.floats(0.001, 0.04), earlier=st.integers(1, 20), pairs=st.sampled_from(LOOKS))
def test_the_gate_vector_accepts_from_the_gain_on_one_configuration_that_was_told(
    spread: float, earlier: int, pairs: int
) -> None:
    state = session("vector", spread, earlier)
    names = [c.name for c in state.versions[0].score.configurations]
    for number, comparison in state.comparisons.items():
        state.comparisons[number] = comparison.replaced(
            replicates=tuple(_over(pair, names, names) for pair in comparison.replicates)
        )
    known = outlook(state, "here")
    assert known is not None and "on one configuration" in known.text
    for factor, passes in ((1.01, True), (0.97, False)):
        ledger = Ledger(state.comparisons.values())
        rows = replicates(math.log1p(known.needed[pairs] * factor), spread, pairs)
        better = tuple(_over(pair, names, names[:1]) for pair in rows)
        comparison = ledger.begin("a" * 64, "b" * 64, "here").replaced(replicates=better)
        decision = decide("vector", Rival(0, state.versions[0].score), comparison, ledger)
        assert (decision is not None and decision.accepted) is passes


def _over(pair: PairedMeasurement, names: list[str], changed: list[str]) -> PairedMeasurement:
    """The pair's figures on the `changed` ones of these configurations; its scatter on all."""
    ((low, middle, high),) = pair.configurations.values()
    rows = {
        name: (low, middle, high) if name in changed else (low / middle, 1.0, high / middle)
        for name in names
    }
    return PairedMeasurement(configurations=rows, rounds=dict.fromkeys(names, ROUNDS))


def test_says_what_is_assumed_as_long_as_nothing_was_measured() -> None:
    known = outlook(session("strict"))
    assert known is not None and known.spread.prior.pairs == 0
    assert "by 1%, assumed as long as nothing was compared" in known.text
    assert "at least +0.5% over v0" in known.text and "by 8." in known.text


def test_measurements_under_other_conditions_do_not_count() -> None:
    state = session("strict", 0.02, 3)
    there, here = outlook(state, "there"), outlook(state)
    assert there is not None and there.spread.prior.pairs == 0
    assert here is not None and here.spread.prior.pairs == 12
    assert "scatter by 2.00% in the newest 12 pairs on this machine (standard" in here.text


def test_what_is_partly_assumed_is_told_apart_from_what_was_measured() -> None:
    """By the opening, and by the gate, which reckons with it: two pairs show little of scatter."""
    state = session("strict")
    ledger = Ledger(state.comparisons.values())
    before = ledger.begin("c" * 64, "b" * 64, "here").replaced(
        replicates=replicates(0.01, 0.0003, 2)
    )
    state.comparisons[1] = before
    known = outlook(state)
    assert known is not None
    assert "by 0.03% in the newest 2 pairs on this machine, taken for 0.71%" in known.text
    assert state.head is not None
    now = ledger.begin("a" * 64, "b" * 64, "here").replaced(
        number=2, replicates=replicates(0.007, 0.0003, 8)
    )
    words = "(spread from process to process 0.33%, of which part is assumed"
    held = decide("strict", Rival(0, state.head.score), now, Ledger([before, now]))
    assert held is not None
    assert words in held.reason


@pytest.mark.parametrize("gate, words", [("paper", "no slower"), ("vector", "one configuration")])
def test_each_gate_says_its_own_rule(gate: str, words: str) -> None:
    known = outlook(session(cast("GateName", gate)))
    assert known is not None and words in known.text


def test_says_nothing_before_there_is_a_version_to_beat() -> None:
    state = session("strict")
    state.session = state.session.replaced(head=None)
    assert outlook(state) is None


def branched(other: float) -> SessionState:
    """A session whose head is v2, +2% over v0, while v1 was left by a rewind."""
    state = session("strict")
    root = state.versions[0]
    for number, gain in ((1, other - 1), (2, 0.02)):
        gate = GateDecision(
            gate="strict", accepted=True, reason="", reference=0, gain=gain, remeasured=True
        )
        state.versions[number] = root.replaced(number=number, parent=0, gate=gate)
    state.session = state.session.replaced(head=2)
    return state


def scored(other: float) -> SessionState:
    """The same without measurements in turn: only scores of different runs."""
    state = session("strict")
    root = state.versions[0]
    rows = tuple(c.replaced(ratio=other) for c in root.score.configurations)
    score = root.score.replaced(configurations=rows)
    state.versions[1] = root.replaced(number=1, parent=0, score=score)
    return state


def test_says_which_version_of_another_line_is_faster_and_by_how_much() -> None:
    known = outlook(branched(1.25))
    assert known is not None and known.version == 2
    assert "v1, on another line, is +22.5% against v2 by the gains that the gate" in known.text
    apart = outlook(scored(1.25))
    assert apart is not None and apart.elsewhere is None, "scores of different runs do not tell"


def test_says_nothing_of_other_lines_where_the_head_s_is_the_fastest() -> None:
    slower = outlook(branched(0.8))
    assert slower is not None and slower.elsewhere is None
    ahead = branched(1.25)
    ahead.session = ahead.session.replaced(head=1)
    own = outlook(ahead)
    assert own is not None and own.elsewhere is None and "another line" not in own.text


def test_says_how_long_a_pair_takes_once_one_was_measured() -> None:
    state = session("strict", 0.01, 2)
    before = outlook(state)
    assert before is not None and "A pair takes" not in before.text
    row = state.comparisons[2]
    timed = tuple(
        pair.replaced(seconds=s) for pair, s in zip(row.replicates, (2, 3, 4, 90), strict=True)
    )
    state.comparisons[2] = row.replaced(replicates=timed)
    known = outlook(state)
    assert known is not None and known.pace is not None and known.pace.median == 3.5
    assert "A pair takes 2 to 90 s, by the last 4 (median 3.5 s)." in known.text
    also = outlook(state, outside=(5.0,) * 9)
    assert also is not None and also.pace is not None and also.pace.pairs == 12
    elsewhere = outlook(state, "another machine")
    assert elsewhere is not None and elsewhere.pace is None, "other conditions, another pace"
