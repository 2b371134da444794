"""What each kind of benchmark writes is read as its own documentation says."""

import json
from pathlib import Path

import pytest

from avo_tui.evaluation.backends.command.formats import Given, Metric, UnreadableError, readings

GOOGLE = {
    "benchmarks": [
        {"name": "a/8", "run_name": "a/8", "run_type": "iteration", "iterations": 100,
         "real_time": 2.0, "cpu_time": 1.5, "time_unit": "us", "items_per_second": 5e5},
        {"name": "a/8_mean", "run_name": "a/8", "run_type": "aggregate", "real_time": 9.0,
         "time_unit": "us", "iterations": 3},
    ]
}  # fmt: skip
PYTEST = {"benchmarks": [{"name": "t", "stats": {"median": 0.5, "iterations": 2, "total": 3.0}}]}
PYPERF = {
    "metadata": {"name": "p", "inner_loops": 2},
    "benchmarks": [{"runs": [{"values": [0.1, 0.3], "metadata": {"loops": 10}}]}],
}
HYPERFINE = {"results": [{"command": "./x", "median": 0.2, "times": [0.1, 0.2, 0.3]}]}
NVBENCH = {
    "benchmarks": [
        {"name": "k", "states": [{"name": "N=1", "is_skipped": False, "summaries": [
            {"tag": "nv/cold/time/gpu/mean", "data": [{"name": "value", "value": "1.5e-05"}]}]}]}
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "document", "metric", "value", "accounted"),
    [
        ("google-benchmark", GOOGLE, "a/8", 2e-6, 2e-4),
        ("pytest-benchmark", PYTEST, "t", 0.5, 6.0),
        ("pyperf", PYPERF, "p", 0.2, 8.0),
        ("hyperfine", HYPERFINE, "./x", 0.2, 0.6),
        ("nvbench", NVBENCH, "k/N=1", 1.5e-5, 0.0),
    ],
)
def test_json_of_known_tools(
    name: str, document: object, metric: str, value: float, accounted: float
) -> None:
    given = Given(f"banner\n{json.dumps(document)}\n", None, 1.0, (Metric(name=metric),))
    reading = readings(name, given)[metric]
    assert reading.value == pytest.approx(value)
    assert reading.accounted == pytest.approx(accounted)


def test_further_fields_json_paths_and_patterns() -> None:
    rate = Metric(name="a/8", field="items_per_second")
    wanted = (Metric(name="a/8"), rate, Metric(name="a/8", field="cpu_time"))
    read = readings("google-benchmark", Given(json.dumps(GOOGLE), None, 1.0, wanted))
    assert [read[m.key].value for m in wanted] == pytest.approx([2e-6, 5e5, 1.5e-6])
    path = Metric(name="m", path="r.0.t")
    read = readings("json", Given('{"r": [{"t": [3, 1, 2]}]}', None, 1.0, (path,)))
    assert read["m"].value == 2
    pattern = Metric(name="rate", pattern=r"([\d.,]+) MB/s")
    read = readings("regex", Given("x 1,000 MB/s\ny 3000 MB/s\n", None, 1.0, (pattern,)))
    assert read["rate"].value == 2000


def test_what_a_benchmark_counts_beside_its_time_is_no_time() -> None:
    given = Given(json.dumps(GOOGLE), None, 1.0)
    assert list(readings("google-benchmark", given)) == ["a/8"]
    unsaid = Metric(name="a/8:items_per_second")
    with pytest.raises(UnreadableError, match=r"it reports a/8$"):
        readings("google-benchmark", Given(json.dumps(GOOGLE), None, 1.0, (unsaid,)))
    unknown = Metric(name="a/8", field="bytes")
    with pytest.raises(UnreadableError, match="beside its time it has cpu_time, items_per_second"):
        readings("google-benchmark", Given(json.dumps(GOOGLE), None, 1.0, (unknown,)))


def test_criterion_reads_its_folder(tmp_path: Path) -> None:
    new = tmp_path / "group" / "f" / "new"
    new.mkdir(parents=True)
    (new / "benchmark.json").write_text('{"full_id": "group/f"}')
    (new / "estimates.json").write_text('{"median": {"point_estimate": 1500.0}}')
    (new / "sample.json").write_text('{"iters": [1, 2], "times": [1e9, 2e9]}')
    reading = readings("criterion", Given("", tmp_path, 9.0, (Metric(name="group/f"),)))["group/f"]
    assert reading.value == pytest.approx(1.5e-6) and reading.accounted == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("json", "", "printed nothing"),
        ("json", "hello", "not JSON"),
        ("json", '{"other": 1}', "reports no 'm'; it reports other"),
        ("json", '{"m": "NaN"}', "reports nan"),
        ("json", '{"m": 0}', "reports 0"),
        ("json", '{"m": "fast"}', "no number"),
        ("google-benchmark", '{"benchmarks": 3}', "no list 'benchmarks'"),
        ("regex", "nothing here", "reports no 'm'"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(name: str, text: str, words: str) -> None:
    metric = Metric(name="m", pattern="(x)")
    with pytest.raises(UnreadableError, match=words):
        readings(name, Given(text, None, 1.0, (metric,)))
