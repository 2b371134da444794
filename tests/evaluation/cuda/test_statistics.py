import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda import statistics

CONFIGURATION = Configuration(name="c")


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_lie_among_the_samples(values, q):
    assert min(values) <= statistics.quantile(values, q) <= max(values) * (1 + 1e-12)


def test_no_samples_have_no_quantile():
    with pytest.raises(ValueError, match="no samples"):
        statistics.quantile([], 0.5)


def test_a_score_counts_throughput_and_pairs_rounds():
    ours = [1.0, 2.0, 4.0] * 8
    theirs = [2.0, 4.0, 8.0] * 8
    found = statistics.score(CONFIGURATION, 2e9, {"candidate": ours, "cudnn": theirs}, "cudnn")
    assert found.throughput == pytest.approx(1.0)
    assert found.ratio == pytest.approx(2.0)
    assert found.ratio_p20 == pytest.approx(found.ratio_p80)  # the pairs agree, the rounds do not
    assert found.baselines["cudnn"] == pytest.approx(0.5)
    assert found.samples == 24
    assert "noisy" in found.flags
    assert found.p20 <= found.throughput <= found.p80


def test_few_samples_are_said():
    samples = {"candidate": [5.0, 5.0], "cudnn": [1.0] * 8}
    found = statistics.score(CONFIGURATION, 1e9, samples, "cudnn")
    assert found.flags == ("few samples (2)",)
    assert found.ratio == pytest.approx(0.2)


def test_a_baseline_that_is_not_there_gives_no_ratio():
    found = statistics.score(CONFIGURATION, 1e9, {"candidate": [1.0] * 20}, "cudnn")
    assert found.ratio == 0


def test_a_slowed_baseline_is_noticed_where_times_are_long():
    assert statistics.slowed({"a": [2.0]}, {"a": 1.0}) == [
        "a is 2.00 times slower beside the candidate than alone"
    ]
    assert statistics.slowed({"a": [1.2]}, {"a": 1.0}) == []
    assert statistics.slowed({"a": [0.2]}, {"a": 0.1}) == []
    assert statistics.slowed({}, {"a": 1.0}) == []
