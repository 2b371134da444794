"""The worker and its client: cancelling, dying, experiments, re-measuring."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import (
    CheckQuestion,
    CompileQuestion,
    DescribeQuestion,
    EvaluateQuestion,
    MachineQuestion,
    RemeasureQuestion,
    ScratchQuestion,
    SeedQuestion,
)
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.evaluators import LocalEvaluator
from avo_tui.evaluation.locks import device_lock
from avo_tui.evaluation.paths import lock_file
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox import tree
from tests.evaluation.evaluation_support import CANDIDATES, TASKS, needs_compiler
from tests.waiting import until

pytestmark = [needs_compiler, pytest.mark.asyncio(loop_scope="module")]
TASK = "tiny_attention"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[LocalEvaluator]:
    """One evaluator for the tests of this file: a worker takes seconds to import torch."""
    folder = tmp_path_factory.mktemp("worker")
    for path in (folder, *folder.parents[:2]):  # pytest closes them to other users
        path.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVO_SCRATCH", str(folder))
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        patch.setenv("ANTHROPIC_API_KEY", "sk-secret-of-the-test")
        async with LocalEvaluator(kernels=TASKS) as evaluator:
            yield evaluator


@pytest_asyncio.fixture(loop_scope="module")
async def evaluator(
    shared: LocalEvaluator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LocalEvaluator]:
    yield shared
    left = list(tmp_path_factory.getbasetemp().glob("worker*/avo-[0-9]*"))
    alive = [p for p in left if p.name.split("-")[1] == str(shared._link.pid)]
    assert not alive, f"scratch folders were left behind: {alive}"


def wrapped(name: str) -> Candidate:
    files = {p.name: p.read_text() for p in CANDIDATES.glob("*.h")}
    return Candidate(files={f"{name}.cpp": (CANDIDATES / f"{name}.cpp").read_text(), **files})


async def until_check(evaluator: LocalEvaluator, candidate: Candidate) -> asyncio.Task[object]:
    """An evaluation that has reached its check."""
    reached = asyncio.Event()

    def see(progress: EvaluationProgress) -> None:
        if progress.stage == "check":
            reached.set()

    task = asyncio.create_task(evaluator.ask(TASK, CheckQuestion(files=candidate.files), see))
    await asyncio.wait_for(reached.wait(), 300)
    return task


async def test_what_is_only_for_the_person_comes_into_the_log_of_the_engine(
    evaluator: LocalEvaluator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "avo_tui.evaluation.workers.link"):
        report = await evaluator.ask(
            TASK, CheckQuestion(files=wrapped("adaptive_exits_with_hidden").files)
        )
    assert report.verdict is Verdict.WRONG_RESULT and "exit 77" not in report.model_dump_json()
    told = "\n".join(caplog.messages)
    assert "crash in a hidden configuration ended (exited, exit 77" in " ".join(told.split())
    assert all(len(row) <= 76 for row in told.splitlines())  # `E` at 80 columns


async def test_an_evaluation_with_its_signs_of_life(evaluator: LocalEvaluator) -> None:
    seen: list[EvaluationProgress] = []
    seed = await evaluator.ask(TASK, SeedQuestion())
    report = await evaluator.ask(TASK, EvaluateQuestion(files=seed.files), seen.append)
    assert report.verdict is Verdict.CORRECT, report.feedback
    assert report.score is not None and len(report.score.configurations) == 2
    assert all(c.ratio > 0 and c.p20 <= c.p80 for c in report.score.configurations)
    assert report.stages_done == ("compile", "check", "benchmark")
    stages = [(p.stage, p.state) for p in seen if p.state != "configuration"]
    assert stages == [
        (stage, state)
        for stage in ("compile", "check", "benchmark")
        for state in ("started", "finished")
    ]
    assert sum(p.stage == "benchmark" and p.state == "configuration" for p in seen) == 2
    assert [c.name for c in report.checks].count("hidden") == 1
    assert report.seconds.total > 0 and report.device and report.sandbox
    again = await evaluator.ask(TASK, CompileQuestion(files=seed.files))
    assert again.verdict is Verdict.CORRECT and again.stages_done == ("compile",)


async def test_secrets_do_not_reach_the_worker(evaluator: LocalEvaluator) -> None:
    assert (await evaluator.ask(TASK, DescribeQuestion())).name == TASK
    environment = Path(f"/proc/{evaluator._link.pid}/environ").read_bytes()
    assert b"sk-secret" not in environment and b"PATH=" in environment


async def test_a_cancellation_kills_the_candidate(evaluator: LocalEvaluator) -> None:
    task = await until_check(evaluator, wrapped("loops_for_ever"))
    assert evaluator._link.pid is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tree.descendants(evaluator._link.pid) == []
    report = await evaluator.ask(TASK, CheckQuestion(files=wrapped("honest").files))
    assert report.verdict is Verdict.CORRECT


async def test_a_dead_worker_is_a_verdict_and_starts_again(evaluator: LocalEvaluator) -> None:
    task = await until_check(evaluator, wrapped("loops_for_ever"))
    first = evaluator._link.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    report = await task
    assert report.verdict is Verdict.HARNESS_ERROR  # type: ignore[attr-defined]
    assert "worker ended" in report.feedback.summary  # type: ignore[attr-defined]
    again = await evaluator.ask(TASK, CheckQuestion(files=wrapped("honest").files))
    assert again.verdict is Verdict.CORRECT
    assert evaluator._link.pid != first


async def test_an_unknown_task_is_one_sentence(evaluator: LocalEvaluator) -> None:
    with pytest.raises(EvaluatorError, match="there is no task 'nothing'"):
        await evaluator.ask("nothing", EvaluateQuestion(files=wrapped("honest").files))


async def until_gain(evaluator: LocalEvaluator, other: Candidate, low: float, high: float) -> None:
    """The honest kernel gains so much over another one; a busy machine gets further tries."""
    gains = []
    for replicate in range(6):
        report = await evaluator.ask(
            TASK,
            RemeasureQuestion(
                files=wrapped("honest").files, other=other.files, replicate=replicate
            ),
        )
        assert report.paired is not None, report.feedback
        gains.append(report.paired.gain)
        if low < gains[-1] < high:
            return
    raise AssertionError(f"{gains} and not between {low} and {high}")


async def test_two_candidates_side_by_side(evaluator: LocalEvaluator) -> None:
    """The honest kernel twice over takes twice as long."""
    slow = wrapped("honest").files
    slow = slow | {
        "honest.cpp": slow["honest.cpp"].replace("    HONEST;", "    HONEST;\n    HONEST;")
    }
    await until_gain(evaluator, wrapped("honest"), 0.8, 1.25)
    await until_gain(evaluator, Candidate(files=slow), 1.6, 2.5)
    wrong = await evaluator.ask(
        TASK,
        RemeasureQuestion(files=wrapped("skips_timed_calls").files, other=wrapped("honest").files),
    )
    assert wrong.verdict is Verdict.SUSPICIOUS and wrong.paired is None


async def test_experiments(evaluator: LocalEvaluator, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("treasure")
    program = f"""
#include <cstdio>
int main() {{
    std::FILE* file = std::fopen("{secret}", "r");
    std::puts(file == nullptr ? "nothing to read" : "read it");
    return 3;
}}
"""
    report = await evaluator.ask(TASK, ScratchQuestion(files={"main.cpp": program}))
    assert report.compiled and report.exit_code == 3
    assert report.stdout == "nothing to read\n"
    report = await evaluator.ask(
        TASK, ScratchQuestion(files={"main.cpp": "int main() { return x; }"})
    )
    assert not report.compiled and "main.cpp" in report.compiler_log
    report = await evaluator.ask(
        TASK, ScratchQuestion(files={"main.cpp": "int main() { for (;;) {} }"}, seconds=0.3)
    )
    assert report.compiled and report.exit_code is None and "limit of time" in report.outcome
    report = await evaluator.ask(
        TASK, ScratchQuestion(files={"main.cpp": "int main() { __builtin_trap(); }"})
    )
    assert report.outcome in ("ended by SIGILL", "ended by SIGTRAP")


async def test_waiting_for_the_device_is_visible_and_ends_with_its_holder(
    scratch_base: Path,
) -> None:
    script = (
        "import asyncio, sys\n"
        "from avo_tui.evaluation.locks import device_lock\n"
        "async def main():\n"
        "    async with device_lock('test', lambda p: None):\n"
        "        print('held', flush=True)\n"
        "        await asyncio.sleep(100)\n"
        "asyncio.run(main())\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert await asyncio.to_thread(holder.stdout.readline) == b"held\n"
    seen: list[EvaluationProgress] = []

    def see(progress: EvaluationProgress) -> None:
        seen.append(progress)
        holder.kill()

    try:
        async with asyncio.timeout(120), device_lock("test", see) as waited:
            assert waited.seconds > 0
    finally:
        holder.kill()
        holder.wait()
    assert f"process {holder.pid}" in seen[0].detail and seen[0].stage == "waiting"
    assert lock_file("test").parent.parent == scratch_base


@pytest.mark.slow  # and slows down all that runs beside it
async def test_a_busy_machine_makes_nobody_suspicious(evaluator: LocalEvaluator) -> None:
    """Two processes that never rest on each processor: the healthy stay healthy."""
    hogs = [
        subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
        for _ in range(2 * len(os.sched_getaffinity(0)))
    ]
    try:
        report = await evaluator.ask(TASK, EvaluateQuestion(files=wrapped("honest").files))
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert report.verdict is Verdict.CORRECT, report.feedback


@pytest.mark.slow
async def test_an_idle_worker_rests_and_one_at_work_does_not(evaluator: LocalEvaluator) -> None:
    await evaluator.start()
    first = evaluator._link.pid
    assert first is not None
    asking = asyncio.ensure_future(evaluator.ask(TASK, MachineQuestion()))
    await asyncio.sleep(0)
    await until(lambda: evaluator._link.pending, pause=0)
    await evaluator.rest()
    assert evaluator._link.pid == first
    await asking
    await evaluator.rest()
    assert evaluator._link.pid is None and not psutil.pid_exists(first)
    assert (await evaluator.ask(TASK, MachineQuestion())).conditions
    assert evaluator._link.pid not in {None, first}
