import pytest

from avo_tui.evaluation.measurement.metric import ABOVE_MEASURED, Ceilings, Work, metric_of

WORK = Work(flops=6e12, bytes=3e9, items=5e3)


@pytest.mark.parametrize(
    ("unit", "quantity", "value"),
    [
        ("TFLOP/s", "flops", 3.0),
        ("GFLOP/s", "flops", 3000.0),
        ("TOP/s", "flops", 3.0),
        ("GB/s", "bytes", 1.5),
        ("ktoken/s", "items", 2.5),
        ("edges/s", "items", 2500.0),
        ("s", "seconds", 2.0),
        ("ms", "seconds", 2000.0),
        ("us", "seconds", 2e6),
    ],
)
def test_a_unit_says_what_is_counted(unit: str, quantity: str, value: int) -> None:
    metric = metric_of(unit)
    assert metric.quantity == quantity
    assert metric.value(WORK, 2.0) == pytest.approx(value)


@pytest.mark.parametrize("unit", ["", "fast", "FLOPS", "TFLOP", "/s"])
def test_an_unknown_unit_is_answered_with_what_to_say(unit: str) -> None:
    with pytest.raises(ValueError, match=r"say FLOP/s, B/s or ITEM/s"):
        metric_of(unit)


def test_a_run_cannot_be_faster_than_arithmetic_or_memory_allow() -> None:
    limits = Ceilings(peak_flops=1e15, peak_bytes=4e12, cache_bytes=5e7, measured_flops=7e14)
    assert limits.impossible(Work(flops=1e12), 0.0009)
    assert not limits.impossible(Work(flops=1e12), 0.0011)
    assert "GB/s" in limits.impossible(Work(flops=1.0, bytes=4.05e9), 0.0009)
    assert not limits.impossible(Work(flops=1.0, bytes=4.05e9), 0.0011)
    assert not limits.impossible(Work(bytes=4e7), 1e-9), "it may all be in the cache"
    assert not limits.impossible(Work(flops=1e15, bytes=1e15, nominal=True), 1e-9)


def test_what_beats_the_machines_own_best_is_remarked_on() -> None:
    limits = Ceilings(peak_flops=1e15, measured_flops=7e14)
    assert limits.remark(Work(flops=8e11), 1e-3) == (ABOVE_MEASURED,)
    assert limits.remark(Work(flops=7.5e11), 1e-3) == ()
    assert Ceilings().remark(Work(flops=1e30), 1e-3) == ()
    assert not Ceilings().impossible(Work(flops=1e30, bytes=1e30), 1e-9)
