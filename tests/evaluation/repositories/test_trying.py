"""What is looked for beside right or wrong: cheats, executed lines, mutants, and the network."""

import asyncio
import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.command.adopting import propose
from avo_tui.evaluation.backends.command.executed import changed_lines
from avo_tui.evaluation.backends.command.formats import Reading
from avo_tui.evaluation.backends.command.measuring import Measuring, Run, Turns
from avo_tui.evaluation.backends.command.project import parse_project
from avo_tui.evaluation.backends.command.task import RepositoryTask, load_repository
from avo_tui.evaluation.backends.command.trying import Trial, Tried, prove
from avo_tui.evaluation.backends.command.workshop import Tree, Workshop
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from tests.evaluation.asking import remeasured
from tests.evaluation.repositories.conftest import TOML, Repository

Make = Callable[..., Repository]
CLOCK = """
import json, runpy, time
runpy.run_path("src/start.py")
began = time.monotonic()
runpy.run_path("src/work.py")
print(json.dumps({"time": (time.monotonic() - began) * 1e3}))
"""
TIMED = {
    "src/start.py": "pass\n",
    "src/work.py": "import time\ntime.sleep(0.5)\n",
    "bench.py": CLOCK,
    "bench.sh": "python3 bench.py\n",
}


@pytest.mark.parametrize(
    ("start", "verdict"),
    [("import time\ntime.sleep(0.5)\n", Verdict.SUSPICIOUS), ("pass\n", Verdict.CORRECT)],
)
async def test_work_that_left_the_timed_region_is_suspicious(
    make: Make, start: str, verdict: Verdict
) -> None:
    report = await make(TIMED).evaluate({"src/start.py": start, "src/work.py": "pass\n"})
    assert report.verdict is verdict, report.feedback
    if verdict is Verdict.SUSPICIOUS:
        assert "more outside what the benchmark measures" in report.feedback.summary


PYTHON = {
    "src/used.py": "def area(a, b):\n    return a * b\n\n\ndef rim(a, b):\n    return a + b\n",
    "tests/run.sh": 'python3 -c \'import sys; sys.path.insert(0, "src"); import used;'
    " assert used.area(2, 3) == 6'\n",
    "bench.sh": 'python3 -c \'import sys; sys.path.insert(0, "src"); import used;'
    " used.area(2, 3); used.rim(2, 3)'; printf '{\"time\": 20}'\n",
}


async def test_a_finalist_is_told_which_changed_lines_the_benchmark_executes(make: Make) -> None:
    repository = make(PYTHON)
    pipeline = Pipeline()
    try:
        seed = pipeline.tasks.get(repository.name).seed()
        text = seed.files["src/used.py"].replace("a * b", "b * a").replace("a + b", "b + a")
        more = f"{text}\n\ndef never(a):\n    return a\n"
        changed = seed.with_file("src/used.py", more)
        report = await remeasured(pipeline, repository.name, changed, seed, lambda _: None)
        told = "executed by the benchmark: 3 of 4 changed lines (a tracer), 1 of them by no test"
        assert f"{told}: src/used.py:6" in report.feedback.detail
        assert "a gain on others is not shown" in report.feedback.detail
        broken = changed.with_file("src/used.py", f"{more}\nimport os; os._exit(0)\n")
        report = await remeasured(pipeline, repository.name, broken, seed, lambda _: None)
        assert "executed by the benchmark: 3" not in report.feedback.detail
    finally:
        await pipeline.close()


def test_a_file_that_only_has_another_name_has_no_changed_lines() -> None:
    base = Candidate(files={"a.c": "one\ntwo\n", "b.c": "b\n"})
    moved = Candidate(files={"c.c": "one\ntwo\n", "b.c": "b\nnew\n", "d.c": "b\n"})
    assert list(changed_lines(base, moved)) == [("b.c", 2), ("d.c", 1)]


def tried(repository: Repository, mutants: bool = True) -> Tried:
    task = load_repository(repository.name)
    shop = Workshop(task.project, task.base, Sandbox(), task.folder)
    try:
        return asyncio.run(Trial(shop, lambda _: None).run(mutants))
    finally:
        shop.close()


def test_mutants_that_the_tests_miss_are_named(make: Make) -> None:
    weak = "\n".join(tried(make(PYTHON)).weaknesses)
    assert "the tests pass for 1 of 2 mutants: src/used.py:6 (return " in weak
    assert "no hidden tests" in weak


def test_a_build_that_notices_no_change_is_told(make: Make) -> None:
    lazy = {
        "src/a.c": "int a;\n",
        "build.sh": "test -d out || { mkdir out; cat src/* > out/all; }\n",
    }
    assert any("fresh = true" in w for w in tried(make(lazy), mutants=False).weaknesses)


def test_a_flaky_base_is_named(make: Make) -> None:
    flaky = "test $(($(date +%N | sed 's/^0*//') % 2)) = 0 || { echo 'FAIL: coin'; exit 1; }\n"
    repository = make({"tests/run.sh": flaky})
    seen = set()
    for _ in range(40):
        try:
            seen.add(any(w.startswith("flaky: coin") for w in tried(repository, False).weaknesses))
        except EvaluatorError as error:
            assert "the tests fail on the base: coin" in str(error)
        if True in seen:
            return
    pytest.fail("a coin fell on the same side eighty times")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a file in a folder that is served on this machine."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "needed").write_text("42\n")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/needed"
        serving.shutdown()
        thread.join()


async def test_only_the_first_build_of_the_base_may_fetch(make: Make, server: str) -> None:
    fetch = f"from urllib.request import urlopen; print(urlopen('{server}').read().decode())"
    build = f'set -e; test -f got || python3 -c "{fetch}" > got\nmkdir -p out\n'
    build += "cat src/* got > out/all\n"
    files = {"build.sh": build, "src/answer": "7\n"}
    closed = await make(files).evaluate({"src/time": "10\n"})
    assert "the base does not build" in closed.feedback.summary
    assert "where the build fetches something: network = true" in closed.feedback.summary
    repository = make(files)
    text = (repository.folder / "avo.toml").read_text()
    (repository.folder / "avo.toml").write_text(text.replace("[build]", "[build]\nnetwork = true"))
    with pytest.raises(EvaluatorError, match="now uses the network for the base's first build"):
        await repository.evaluate({"src/time": "10\n"})
    repository.adopt_as_it_is()
    assert (await repository.evaluate({"src/time": "10\n"})).verdict is Verdict.CORRECT
    task = load_repository(repository.name)
    assert isinstance(task, RepositoryTask)
    change = task.seed().with_file("src/time", "10\n")
    assert (await prove(task, change, Sandbox())).score.aggregate == pytest.approx(2.0)


def test_a_build_from_nothing_cannot_fetch() -> None:
    text = '[project]\ntitle = "t"\nbase = "HEAD"\neditable = ["a"]\n[test]\ncommand = "true"\n'
    text += '[benchmark]\ncommand = "true"\nformat = "wall"\n[build]\nfresh = true\nnetwork = true'
    with pytest.raises(EvaluatorError, match="only the base's first build may fetch"):
        parse_project(text, "avo.toml")


async def test_a_change_is_proved_from_nothing_in_pairs(make: Make) -> None:
    repository = make()
    task = load_repository(repository.name)
    proof = await prove(task, Candidate(files={**task.seed().files, "src/time": "10\n"}), Sandbox())
    assert len(proof.replicates) == 6
    assert all(pair.gain == pytest.approx(2.0) for pair in proof.replicates)
    assert proof.commands == ("sh build.sh", "sh tests/run.sh", "sh bench.sh")
    assert proof.checks[0].startswith("tests passed")
    assert "a gain on others is not shown" in proof.checks[-1]


def test_what_a_cargo_benchmark_runs_is_compiled_by_the_build(tmp_path: Path) -> None:
    """A run of the benchmark is in a fresh copy, so it would compile each time."""
    (tmp_path / "benches").mkdir()
    (tmp_path / "benches" / "sum.rs").write_text('fn main() { println!("{{\\"ms\\": {}}}", 1); }\n')
    head = '[package]\nname = "sums"\nversion = "0.1.0"\n'
    bench = '[[bench]]\nname = "sum"\nharness = false\n'
    (tmp_path / "Cargo.toml").write_text(f"{head}{bench}")
    _, guessed = propose(tmp_path, {}, "0123456789ab")
    assert guessed.get("build.command").endswith("&& cargo bench --offline --no-run")
    assert guessed.get("benchmark.command") == "cargo bench --offline"
    assert guessed.get("benchmark.format") == "json"


@pytest.mark.parametrize(
    ("file", "source", "printed", "expected"),
    [
        (
            "bench.c",
            r'printf("\nthroughput: %.1f MB/s\ntime = %5.2lf ms\n", a, b);',
            "throughput: 571.2 MB/s\ntime =  1.25 ms",
            [("throughput", "571.2", "MB/s", "higher"), ("time", "1.25", "ms", "lower")],
        ),
        (
            "bench/sum.cpp",
            'std::cout << "sum of (8): " << sum(8) << " us" << std::endl;',
            "sum of (8): 3e-05 us",
            [("sum of (8)", "3e-05", "us", "lower")],
        ),
        (
            "bench.py",
            'print(f"rows: {n / t:,.0f} rows/s"); print("all:", t, "s"); print("n:", 3)',
            "rows: 1,200 rows/s\nall: 2.5 s",
            [("rows", "1,200", "rows/s", "higher"), ("all", "2.5", "s", "lower")],
        ),
        (
            "bench.c",
            r'printf("median31 %.2f MB/s\n", x); printf("  min %8.1f us\n", y);',
            "checked 3 s\nmedian31 0.55 MB/s\n  min      8.5 us",
            [("median31", "0.55", "MB/s", "higher"), ("min", "8.5", "us", "lower")],
        ),
        (
            "bench.py",
            'print(f"distance {x:.3f} ms"); print("rest", t, "s")',
            "distance 1.250 ms\nrest 2.5 s",
            [("distance", "1.250", "ms", "lower"), ("rest", "2.5", "s", "lower")],
        ),
        ("bench.c", r'printf("ran in %.2f s\n", x); printf("in %f s", y);', "", []),
        ("bench.c", r'printf("loop %d s of work\n", x); printf("%s %d ms", n, y);', "", []),
        ("bench.c", 'puts("no numbers: at all");', "", []),
        ("other.c", 'printf("throughput: %.1f MB/s", x);', "", []),
    ],
)
def test_numbers_that_the_benchmarks_source_prints_are_its_metrics(
    tmp_path: Path, file: str, source: str, printed: str, expected: list[tuple[str, ...]]
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(source)
    (tmp_path / "Makefile").write_text(".PHONY: bench\nbench:\n\ttrue\ntest:\n\ttrue\n")
    text, _ = propose(tmp_path, {"project.editable": "*.c"}, "0123456789ab")
    benchmark = parse_project(text, "avo.toml").benchmark
    if not expected:
        assert benchmark.format == "wall" and benchmark.metrics[0].name == "wall"
        return
    found = [
        (m.name, *re.findall(m.pattern, printed, re.MULTILINE), m.unit, m.better)
        for m in benchmark.metrics
    ]
    assert found == expected


FAST, MOVED, HONEST = (0.503, 0.6), (0.503, 1.4), (1.002, 1.1)
"""(seconds that the metric says, seconds of the command)"""
TINY, LATE, IMPOSSIBLE = (0.021, 0.022), (0.011, 0.05), (1.003, 0.2)


@pytest.mark.parametrize(
    ("base", "runs", "digits", "expected"),
    [
        (HONEST, (FAST, MOVED), 3, ""),
        (HONEST, (MOVED, MOVED), 3, "spends 0.80 s more outside"),
        (HONEST, (MOVED, HONEST, MOVED), 3, "spends 0.80 s more outside"),
        (HONEST, (IMPOSSIBLE, IMPOSSIBLE), 3, "1.00 s, but the whole command took only 0.20 s"),
        (TINY, ((0.021, 0.0185), (0.021, 0.0195)), 3, ""),
        (TINY, (LATE, LATE), 3, ""),
        ((1.6, 1.61), ((1.4, 1.41), (1.4, 1.41)), 0, ""),
        ((1.6, 2.1), ((0.6, 0.81), (0.6, 0.81)), 0, ""),
    ],
)
def test_only_more_than_a_slow_start_or_rounding_explains_is_moved_work(
    make: Make,
    base: tuple[float, float],
    runs: tuple[tuple[float, float], ...],
    digits: int,
    expected: str,
) -> None:
    """`digits`: those behind the point that the benchmark prints."""
    repository = make()
    repository.adopt(toml=TOML.replace('unit = "ms"', 'unit = "s"'))
    task = load_repository(repository.name)
    shop = Workshop(task.project, task.base, Sandbox(), task.folder)
    theirs, *ours = [
        Run({"time": Reading(round(told, digits))}, wall) for told, wall in (base, *runs)
    ]
    turns = Turns(ours, [theirs] * len(ours))
    caught = pytest.raises(Rejected, match=expected) if expected else nullcontext()
    with caught:
        Measuring(shop).require_plausible(turns, Tree(task.folder, candidate="c"))
