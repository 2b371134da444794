"""Broken and cheating C++ candidates, each with the verdict it must get.

A candidate says its verdict itself: `// verdict:` and `// says:` (a pattern for the summary, the
detail or the log) are its first lines. `// gains: nothing` has it timed beside the honest kernel,
and `// only:` names the one processor family that it is written for.
"""

import json
import platform
import re
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.cpp import benchmark, candidate_process, process
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.sandbox.policy import Isolation, SandboxError, bubblewrap
from avo_tui.evaluation.sandbox.run import Sandbox
from tests.evaluation.asking import evaluated, remeasured
from tests.evaluation.evaluation_support import CANDIDATES, TASKS, needs_compiler

pytestmark = [needs_compiler, pytest.mark.asyncio(loop_scope="module")]
_PAIRS = 8
"""Pairs of processes in all of which a candidate must gain to be said to gain."""
EVERY = sorted([*CANDIDATES.glob("*.cpp"), *CANDIDATES.glob("two_threads/*.cpp")])


def candidate(path: Path) -> Candidate:
    helpers = {p.name: p.read_text() for p in CANDIDATES.glob("*.h")}
    return Candidate(files={path.name: path.read_text(), **helpers})


def expectation(path: Path, word: str) -> str:
    match = re.search(rf"^// {word}: (.*)$", path.read_text(), re.MULTILINE)
    assert match, f"{path.name} does not say its {word}"
    return match[1]


def skip_elsewhere(path: Path) -> None:
    only = re.search(r"^// only: (.*)$", path.read_text(), re.MULTILINE)
    if only and only[1] != platform.machine():
        pytest.skip(f"written for {only[1]}")


def task_of(path: Path) -> str:
    return "two_threads" if path.parent.name == "two_threads" else "tiny_attention"


@pytest.mark.parametrize("path", EVERY, ids=lambda p: p.stem)
async def test_verdict(path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_elsewhere(path)
    if "timeout" not in expectation(path, "verdict"):
        # However slow the machine is: no limit of time decides what has another verdict.
        monkeypatch.setattr(candidate_process, "_BASE_SECONDS", 60.0)
    report = await evaluated(
        pipeline, task_of(path), candidate(path), "benchmark", lambda progress: None
    )
    feedback = report.feedback
    told = f"{feedback.summary}\n{feedback.detail}\n{feedback.log}"
    assert re.fullmatch(expectation(path, "verdict"), report.verdict), told
    says = expectation(path, "says")
    assert re.search(says, told, re.DOTALL) and not re.search(says, "any other sentence"), told
    assert (report.score is not None) == report.correct
    secret = re.search(r"^// never: (.*)$", path.read_text(), re.MULTILINE)
    everything = told + "".join(f"{c.name} {c.detail}" for c in report.checks)
    assert secret is None or not re.search(secret[1], everything), everything
    assert all(c.error is None for c in report.checks if c.name == "hidden")


@pytest.mark.parametrize(
    "path", [p for p in EVERY if "// gains: nothing" in p.read_text()], ids=lambda p: p.stem
)
async def test_what_is_not_refused_gains_nothing(path: Path, pipeline: Pipeline) -> None:
    """Beside the honest kernel that it wraps, measured as the gate does.

    A trick gains in every pair of processes; what a busy machine gives it is gone in the next one.
    """
    skip_elsewhere(path)
    honest = candidate(CANDIDATES / "honest.cpp")
    gains: list[float] = []
    for replicate in range(_PAIRS):
        report = await remeasured(
            pipeline,
            task_of(path),
            candidate(path),
            honest,
            lambda progress: None,
            replicate=replicate,
        )
        if not report.correct:
            assert report.verdict.judges_candidate, report.feedback
            return
        assert report.paired is not None
        gains.append(report.paired.gain)
        if gains[-1] < 1.1:
            return
    raise AssertionError(f"it gains in each of {_PAIRS} pairs of processes: {gains}")


async def test_a_hang_is_told_near_its_limit(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps: that is what is counted against it, not a multiple of its limit."""
    accounts: list[process.TimeAccount] = []
    real = process.TimeAccount.look

    def look(self: process.TimeAccount, now: object, seconds: float, state: str) -> None:
        real(self, now, seconds, state)  # type: ignore[arg-type]
        if self.over:
            accounts.append(self)

    monkeypatch.setattr(process.TimeAccount, "look", look)
    report = await evaluated(
        pipeline,
        "tiny_attention",
        candidate(CANDIDATES / "deadlocks.cpp"),
        "check",
        lambda progress: None,
    )
    assert report.verdict == "timeout" and report.feedback.configuration == "full-64"
    (account,) = accounts
    assert account.computed + account.asleep > account.limit
    assert account.asleep > account.computed


async def test_time_asleep_counts_as_if_it_computed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call cannot sleep for a given time; but it may wait for memory, for one."""
    real = process.Runner.call

    def call(self: process.Runner, seconds: float) -> process.Call:
        return replace(real(self, seconds), asleep=300_000_000)

    monkeypatch.setattr(process.Runner, "call", call)
    monkeypatch.setattr(benchmark, "STRETCH", 1e-9)  # one call in each
    honest = candidate(CANDIDATES / "honest.cpp")
    report = await evaluated(pipeline, "tiny_attention", honest, "benchmark", lambda progress: None)
    assert report.score is not None, report.feedback
    assert all(c.milliseconds > 300 for c in report.score.configurations), report.score


async def test_what_every_exchange_costs_is_taken_off(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine on which waking and stopping a process costs seconds."""
    real = process.Runner._exchange

    def exchange(self: process.Runner, command: int, seconds: float) -> tuple[process.Call, int]:
        call, others = real(self, command, seconds)
        return replace(call, used=call.used + 10**10, passed=call.passed + 10**10), others

    monkeypatch.setattr(process.Runner, "_exchange", exchange)
    honest = candidate(CANDIDATES / "honest.cpp")
    report = await evaluated(pipeline, "tiny_attention", honest, "benchmark", lambda progress: None)
    assert report.score is not None, report.feedback
    assert all(c.milliseconds < 5_000 for c in report.score.configurations), report.score


async def test_outputs_cost_a_kernel_no_page_faults(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[int] = []
    real = process.Runner.call

    def count(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])

    def call(self: process.Runner, seconds: float) -> process.Call:
        before = count(self.pid)
        answer = real(self, seconds)
        faults.append(count(self.pid) - before)
        return answer

    monkeypatch.setattr(process.Runner, "call", call)
    honest = candidate(CANDIDATES / "honest.cpp")
    report = await evaluated(pipeline, "tiny_attention", honest, "benchmark", lambda progress: None)
    assert report.score is not None, report.feedback
    # The first calls touch code, stack and heap; a second time nothing of these is new.
    assert faults.count(0) > len(faults) / 2, faults


async def test_a_process_that_is_timed_sees_no_hidden_case(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could tell what it saw, by wrong outputs or by the time that it takes."""
    shapes: list[object] = []
    real = candidate_process.CandidateProcess.run

    def watched(self, configuration, *batch):  # type: ignore[no-untyped-def]
        shapes.append(configuration.parameters["sequence"])
        return real(self, configuration, *batch)

    monkeypatch.setattr(candidate_process.CandidateProcess, "run", watched)
    monkeypatch.setattr(benchmark, "DISGUISED", 60)
    honest = candidate(CANDIDATES / "honest.cpp")
    report = await evaluated(pipeline, "tiny_attention", honest, "check", lambda progress: None)
    assert report.correct and 77 in shapes
    shapes.clear()
    other = candidate(CANDIDATES / "honest_flags.cpp")
    report = await remeasured(pipeline, "tiny_attention", honest, other, lambda progress: None)
    assert report.correct and set(shapes) == {64}


async def test_a_task_on_two_threads_may_start_one(pipeline: Pipeline) -> None:
    seed = pipeline.tasks.get("two_threads").seed()
    report = await evaluated(pipeline, "two_threads", seed, "benchmark", lambda progress: None)
    assert report.verdict == "correct", report.feedback
    more = seed.files["attention.cpp"].replace("parallel for", "parallel for num_threads(8)")
    report = await evaluated(
        pipeline,
        "two_threads",
        seed.with_file("attention.cpp", more),
        "check",
        lambda progress: None,
    )
    assert report.verdict == "suspicious", report.feedback
    forks = candidate(CANDIDATES / "forks.cpp")
    report = await evaluated(pipeline, "two_threads", forks, "check", lambda progress: None)
    assert report.verdict == "suspicious", report.feedback


async def test_a_fraud_beside_it_is_not_held_against_an_honest_candidate(
    pipeline: Pipeline,
) -> None:
    honest, fraud = (candidate(CANDIDATES / f"{n}.cpp") for n in ("honest", "adaptive_turns"))
    for replicate in (0, 1):
        report = await remeasured(
            pipeline, "tiny_attention", honest, fraud, lambda progress: None, replicate=replicate
        )
        assert report.verdict == "harness_error", report.feedback
        assert "measured beside" in report.feedback.summary and report.beside == "suspicious"
        report = await remeasured(
            pipeline, "tiny_attention", fraud, honest, lambda progress: None, replicate=replicate
        )
        assert report.verdict == "suspicious", report.feedback


@pytest.mark.parametrize("kind", list(Isolation))
async def test_every_kind_of_isolation_runs_the_honest_and_reports_the_rest(
    kind: Isolation, scratch_base: Path, quick: None
) -> None:
    if kind is Isolation.BUBBLEWRAP and bubblewrap() is None:
        pytest.skip("bubblewrap is not installed")
    pipeline = Pipeline(TASKS)
    pipeline.sandbox = Sandbox(isolation=kind)
    try:
        await pipeline.sandbox.level()
    except SandboxError as error:
        pytest.skip(str(error))
    for name, verdict in (("honest", "correct"), ("adaptive_reopens_inputs", "suspicious")):
        report = await evaluated(
            pipeline,
            "tiny_attention",
            candidate(CANDIDATES / f"{name}.cpp"),
            "check",
            lambda progress: None,
        )
        assert report.verdict == verdict, report.feedback


async def test_every_stage_starts_a_candidate_in_the_same_way(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is started for: program, entry, threads, limits, sizes of the shared memory."""
    started: list[object] = []
    real = process.session

    def watched(
        sandbox: Sandbox, start: process.Start
    ) -> AbstractAsyncContextManager[process.Runner]:
        shared = start.memory
        sizes = [arena.size for arena in (shared.inputs, shared.outputs, shared.page)]
        same = (start.runner, start.library.name, start.entry, sizes, start.threads, start.limits)
        started.append((*same, start.cpu is None))
        return real(sandbox, start)

    monkeypatch.setattr(candidate_process, "session", watched)
    honest = candidate(CANDIDATES / "honest.cpp")
    await evaluated(pipeline, "tiny_attention", honest, "benchmark", lambda progress: None)
    other = candidate(CANDIDATES / "honest_aligned.cpp")
    await remeasured(pipeline, "tiny_attention", honest, other, lambda progress: None)
    # Check, benchmark, the two of the pair.
    assert len(started) == 4 and all(s == started[0] for s in started), started


def named(name: str, text: str) -> Candidate:
    helpers = {p.name: p.read_text() for p in CANDIDATES.glob("*.h")}
    return Candidate(files={name: text, **helpers})


HONEST = '#include "honest.h"\nATTENTION { HONEST; }\n'


@pytest.mark.parametrize(
    "name", ["-Bd/x.cc", "-o/x.cc", "-fplugin/x.cpp", "-/x.cc", "-Wl/x.cc", "-x.cpp", "-E.cc"]
)
async def test_a_file_is_a_file_whatever_it_is_called(name: str, pipeline: Pipeline) -> None:
    text = HONEST.replace('"honest.h"', '"../honest.h"') if "/" in name else HONEST
    report = await evaluated(
        pipeline, "tiny_attention", named(name, text), "check", lambda progress: None
    )
    assert report.verdict == "correct", report.feedback


@pytest.mark.parametrize(
    "line",
    [
        'asm(".incbin \\"/etc/passwd\\"");',
        '#include "/etc/passwd"',
        '#include "/proc/1/environ"',
        "#include __FILE__",
        '#pragma GCC dependency "/etc/shadow"',
        '#pragma comment(linker, "/include:x")\n#pragma GCC optimize("-fplugin=x.so")',
    ],
)
async def test_what_a_source_asks_of_the_compiler_reaches_nothing(
    line: str, pipeline: Pipeline
) -> None:
    report = await evaluated(
        pipeline,
        "tiny_attention",
        named("x.cpp", f"{line}\n{HONEST}"),
        "compile",
        lambda progress: None,
    )
    assert report.verdict in ("compile_error", "correct"), report.feedback
    assert "root:" not in report.model_dump_json()


async def test_no_report_holds_what_could_steer_a_terminal(pipeline: Pipeline) -> None:
    text = '#warning "\x1b]0;owned\x07 \u202eevil\u2066"\n' + HONEST + "int broken = ;\n"
    report = await evaluated(
        pipeline, "tiny_attention", named("x.cpp", text), "check", lambda progress: None
    )
    assert report.verdict == "compile_error" and "owned" in report.feedback.log
    dumped = json.dumps(report.model_dump(mode="json"), ensure_ascii=False)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", dumped)
