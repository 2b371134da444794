import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.score import ConfigurationScore
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement import statistics
from avo_tui.evaluation.measurement.metric import Work, metric_of

CONFIGURATION = Configuration(name="c")
TFLOPS = metric_of("TFLOP/s")


def score(
    samples: dict[str, list[float]], *, unit: str = "TFLOP/s", work: Work | None = None
) -> ConfigurationScore:
    return statistics.score(
        CONFIGURATION, metric_of(unit), work or Work(flops=2e9), samples, "cudnn"
    )


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values: list[float], q: float) -> None:
    assert statistics.quantile(values, q) == pytest.approx(float(numpy.quantile(values, q)))


def test_no_samples_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        statistics.quantile([], 0.5)


def test_a_score_counts_throughput_and_pairs_rounds() -> None:
    ours = [1e-3, 2e-3, 4e-3] * 8
    theirs = [2e-3, 4e-3, 8e-3] * 8
    found = score({"candidate": ours, "cudnn": theirs})
    assert found.throughput == pytest.approx(1.0)
    assert found.milliseconds == pytest.approx(2.0)
    assert found.ratio == pytest.approx(2.0)
    assert found.ratio_p20 == pytest.approx(found.ratio_p80)  # the pairs agree, the rounds do not
    assert found.baselines["cudnn"] == pytest.approx(0.5)
    assert found.samples == 24
    assert "noisy" in found.flags
    assert found.p20 <= found.throughput <= found.p80


def test_seconds_are_shown_as_they_are_and_faster_is_still_a_ratio_above_one() -> None:
    found = score({"candidate": [2e-6, 3e-6, 4e-6] * 8, "cudnn": [6e-6] * 24}, unit="us")
    assert found.throughput == pytest.approx(3.0)
    assert found.p20 < found.throughput < found.p80
    assert found.baselines["cudnn"] == pytest.approx(6.0)
    assert found.ratio == pytest.approx(2.0)


def test_bytes_and_items_have_their_units() -> None:
    work = Work(flops=1.0, bytes=4e9, items=1e6)
    samples = {"candidate": [1e-3] * 20, "cudnn": [1e-3] * 20}
    assert score(samples, unit="GB/s", work=work).throughput == pytest.approx(4000)
    assert score(samples, unit="Mtoken/s", work=work).throughput == pytest.approx(1000)


def test_few_samples_are_said() -> None:
    found = score({"candidate": [5.0, 5.0], "cudnn": [1.0] * 8})
    assert found.flags == ("few samples (2)",)
    assert found.ratio == pytest.approx(0.2)


def test_a_baseline_that_is_not_there_gives_no_ratio() -> None:
    assert score({"candidate": [1.0] * 20}).ratio == 0


def test_a_slowed_baseline_is_noticed_where_times_are_long() -> None:
    assert statistics.slowed({"a": [2e-3]}, {"a": 1e-3}) == [
        "a is 2.00 times slower beside the candidate than alone"
    ]
    assert statistics.slowed({"a": [1.2e-3]}, {"a": 1e-3}) == []
    assert statistics.slowed({"a": [0.2e-3]}, {"a": 0.1e-3}) == []
    assert statistics.slowed({}, {"a": 1e-3}) == []


def test_drift_compares_halves() -> None:
    for first, second in ((1.0, 1.2), (50.0, 60.0), (6e-3, 5e-3)):
        assert statistics.drift([first] * 5 + [second] * 5) == pytest.approx(0.2)
    assert statistics.drift([1.0, 2.0] * 10) == 0
    assert statistics.drift([1.0, 2.0]) == 0
    assert statistics.noisy([1.0] * 10 + [1.2] * 10)
    assert not statistics.noisy([1.0] * 20)
