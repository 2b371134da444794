"""How much faster a version is than an earlier one: what the gate measured comes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.changes import Change, change_between, change_of
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Version
from avo_tui.store import SessionReader
from tests.domain.test_progress import version
from tests.shipped import shipped_sessions


def timed(number: int, ratio: float, parent: int, over: int, gain: float) -> Version:
    gate = GateDecision(
        gate="strict", accepted=True, reason="", gain=gain, reference=over, remeasured=True
    )
    return version(number, ratio, parent, gate)


def test_what_the_gate_timed_counts_and_not_the_scores_of_two_runs() -> None:
    seven, eight = version(7, 1.847, None), timed(8, 1.795, 7, 7, 0.009)
    assert change_of(eight, {7: seven, 8: eight}) == Change(0.009, 7, timed=True)
    assert change_between(eight, seven) == Change(0.009, 7, timed=True)


def test_the_gate_may_have_timed_another_version_than_the_parent() -> None:
    versions = {1: version(1, 1.0, None), 2: version(2, 0.9, 1), 3: timed(3, 1.1, 2, 1, 0.05)}
    assert change_of(versions[3], versions) == Change(0.05, 1, timed=True)
    beside_parent = change_between(versions[3], versions[2])
    assert beside_parent is not None and not beside_parent.timed
    assert beside_parent.gain == pytest.approx(1.1 / 0.9 - 1)


def test_two_runs_are_compared_where_no_gate_timed_them() -> None:
    versions = {0: version(0, 0.0, None), 1: version(1, 1.0, 0), 2: version(2, 1.2, 1)}
    change = change_of(versions[2], versions)
    assert change is not None and not change.timed and change.gain == pytest.approx(0.2)
    assert change_of(versions[0], versions) is None
    assert change_of(versions[1], versions) is None  # its parent has no score
    assert change_of(versions[2], {2: versions[2]}) is None  # a damaged lineage
    again = change_of(versions[2], versions, {1: 1.0, 2: 1.5})
    assert again is not None and again.gain == pytest.approx(0.5)


@given(st.floats(-0.5, 0.5), st.floats(0, 0.5))
def test_two_runs_tell_no_difference_within_their_noise(gain: float, noise: float) -> None:
    assert Change(gain, 1, timed=False, noise=noise).clear is (abs(gain) > noise)
    assert Change(gain, 1, timed=True).clear


def test_no_version_of_a_shipped_lineage_is_shown_as_a_loss() -> None:
    """The gates of these sessions accepted gains only, whatever single runs say."""
    lost = []
    for folder in shipped_sessions():
        state = SessionReader.open(folder).state
        for v in state.versions.values():
            change = change_of(v, state.versions)
            if change is not None and (not change.timed or change.gain <= 0):
                lost.append((folder.name, v.number, change))
    assert not lost
