"""compute-sanitizer's part, with a program in its place that prints what it would print."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import RemeasureQuestion
from avo_tui.domain.report import EvaluationProgress, EvaluationReport, Resources
from avo_tui.domain.score import PairedMeasurement
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Compiled, Rejected
from avo_tui.evaluation.backends.cuda import device_tools, toolkit
from avo_tui.evaluation.backends.cuda.backend import CudaBackend
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.device_tools import WatchError, run_tool, watched
from avo_tui.evaluation.pipeline import Pipeline
from tests.evaluation.cuda.cuda_helpers import HERE, candidate, context, small_task

Program = Callable[[str], None]

CLEAN = "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n"
NO_RACE = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
OUTSIDE = """========= COMPUTE-SANITIZER
========= Invalid __global__ read of size 16 bytes
=========     at attention_forward+0x5b0
=========     by thread (31,0,0) in block (3,1,0)
=========     Access at 0x7f2a is out of bounds
=========
========= Uninitialized __global__ memory read of size 4 bytes
=========     at at::native::vectorized_elementwise_kernel+0x10
=========
========= ERROR SUMMARY: 2 errors
"""
RACE = """========= Error: Race reported between Write access at copy_out+0x120
=========     and Read access at copy_out+0x1b0 [64 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""
SYMBOLS = ("attention_forward", "copy_out")


@pytest.mark.parametrize("text", [CLEAN, NO_RACE, "kernel's own\n" + CLEAN + "more\n"])
def test_nothing_found(text: str) -> None:
    assert device_tools.findings(text, SYMBOLS) == []


def test_only_the_candidates_kernels_count() -> None:
    (found,) = device_tools.findings(OUTSIDE, SYMBOLS)
    assert found.startswith("Invalid __global__ read of size 16 bytes\n")
    assert "thread (31,0,0)" in found
    (race,) = device_tools.findings(RACE, SYMBOLS)
    assert "Write access at copy_out" in race
    assert device_tools.findings(RACE, ("attention_forward",)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it said nothing"),
        ("========= Error: Device not supported. Please refer\n", "Device not supported"),
        ("sh: 1: no such program\n", "no such program"),
        (f"failed: running: CUDA_ERROR_LAUNCH_FAILED\n{CLEAN}", "CUDA_ERROR_LAUNCH_FAILED"),
    ],
)
def test_a_tool_that_did_not_work_has_a_reason(text: str, said: str) -> None:
    with pytest.raises(WatchError, match=said):
        device_tools.findings(text, SYMBOLS)


def test_tools_are_named_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_tools.parse_tools("all") == device_tools.TOOLS
    assert device_tools.parse_tools("off") == device_tools.parse_tools("") == ()
    assert device_tools.parse_tools("racecheck, memcheck") == ("racecheck", "memcheck")
    monkeypatch.setenv(device_tools.SETTING, "memchek")
    with pytest.raises(ValueError, match=r"AVO_SANITIZER.*'memchek'.*memcheck"):
        device_tools.wanted()


@pytest.fixture(scope="module")
def pipelined() -> CudaCompiled:
    backend = CudaBackend(architecture="sm_90a")
    return asyncio.run(backend.compile(small_task(), candidate("pipelined"), context()[0]))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a program in the sanitizer's place: its body sees the tool's name in $2."""
    path = tmp_path / "compute-sanitizer"

    def put(body: str) -> None:
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        monkeypatch.setattr(toolkit, "tool", lambda name: str(path))

    return put


async def run(pipelined: CudaCompiled, tools: Sequence[str]) -> str:
    return await device_tools.sanitize(small_task(), pipelined, tools)


@pytest.mark.slow
async def test_every_tool_is_told_and_the_smallest_of_each_variant_is_run(
    pipelined: CudaCompiled, program: Program, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    program(
        f'echo "$@" >>{log}; cat >>{log}\n'
        f"[ $2 = racecheck ] && cat <<'END' || echo '{CLEAN}'\n{RACE}\nEND"
    )
    said = await run(pipelined, device_tools.TOOLS)
    where = "on small-full, small-causal"
    assert f"memcheck: nothing found {where}" in said
    assert f"initcheck: nothing found {where}" in said
    assert f"racecheck: 1 findings {where}, such as:\nError: Race reported" in said
    told = log.read_text()
    assert told.count("--kernel-name=kne=copy_out") == 3  # all tools but initcheck
    assert told.count('"bare": true') == 8
    assert told.count("hidden") == 0


async def test_an_access_outside_memory_rejects(pipelined: CudaCompiled, program: Program) -> None:
    program(f"cat <<'END'\n{OUTSIDE}\nEND")
    with pytest.raises(Rejected) as caught:
        await run(pipelined, ["memcheck"])
    assert caught.value.verdict is Verdict.ILLEGAL_ACCESS
    assert caught.value.feedback.summary == "memcheck: Invalid __global__ read of size 16 bytes"
    assert "block (3,1,0)" in caught.value.feedback.detail


async def test_what_is_not_there_or_does_not_end_is_said(
    pipelined: CudaCompiled, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("exec sleep 1000")
    monkeypatch.setattr(device_tools, "SECONDS", 0.5)
    said = await run(pipelined, ["memcheck"])
    assert "no result" in said
    assert "did not end within" in said
    monkeypatch.setattr(toolkit, "tool", lambda name: None)
    assert "not installed" in await run(pipelined, ["memcheck"])


async def test_what_a_tool_started_ends_with_it(
    pipelined: CudaCompiled, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    program(f"setsid sleep 1000 & echo $! >{pid}.new; mv {pid}.new {pid}; wait")
    monkeypatch.setattr(device_tools, "SECONDS", 3600.0)
    running = asyncio.create_task(run(pipelined, ["memcheck"]))
    async with asyncio.timeout(500):
        while not pid.exists():
            assert not running.done()
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while alive(int(pid.read_text())):
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """False once a process has ended; one that nobody has waited for yet has, too."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_finalist_is_looked_at_where_the_setting_says_so(
    pipelined: CudaCompiled, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = CudaBackend()
    monkeypatch.delenv(device_tools.SETTING, raising=False)
    assert await backend.finalist(small_task(), pipelined) == ""
    monkeypatch.setenv(device_tools.SETTING, "everything")
    with pytest.raises(Rejected) as caught:
        await backend.finalist(small_task(), pipelined)
    assert caught.value.verdict is Verdict.HARNESS_ERROR


async def test_a_watched_process_that_fails_says_why(
    pipelined: CudaCompiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real process, and no GPU that it could use."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    task = small_task()
    with watched(task, pipelined, task.configurations[:1], bare=True) as prepared:
        command = [sys.executable, "-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"]
        code, text = await run_tool(command, prepared, 500)
    assert code == 1
    assert "failed: " in text


class _Backend:
    """Measures nothing: what is found of a finalist must reach the report and the record."""

    def __init__(self, found: str | Rejected) -> None:
        self._found = found

    async def machine(self, task: object, sandbox: object) -> MachineInfo:
        return MachineInfo(device="d", architecture="a", compiler="c", sandbox="s", conditions="x")

    async def warm(self, task: object, sandbox: object) -> None:
        return None

    def device_lock(self, task: object) -> str:
        return "none"

    async def compile(self, task: object, candidate: Candidate, context: object) -> Compiled:
        return Compiled(candidate, Resources(), "")

    async def paired(
        self, task: object, compiled: Compiled, other: object, context: object
    ) -> PairedMeasurement:
        return PairedMeasurement(configurations={"c": (1.0, 1.1, 1.2)})

    async def finalist(self, task: object, compiled: Compiled) -> str:
        if isinstance(self._found, Rejected):
            raise self._found
        return self._found


async def remeasured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: str | Rejected
) -> tuple[EvaluationReport, list[EvaluationProgress]]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(Pipeline, "backend", lambda self, task: _Backend(found))
    seen: list[EvaluationProgress] = []
    one, other = candidate("honest"), candidate("pipelined")
    report = await Pipeline(HERE / "tasks").ask(
        "attention_small", RemeasureQuestion(files=one.files, other=other.files), seen.append
    )
    return report, seen


async def test_what_is_found_of_a_finalist_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = "memcheck: nothing found\nracecheck: 1 findings"
    report, seen = await remeasured(monkeypatch, tmp_path, found)
    assert report.verdict is Verdict.CORRECT
    assert report.feedback.detail == found
    (ended,) = [p for p in seen if p.stage == "remeasure" and p.state == "finished"]
    assert ended.detail == "memcheck: nothing found; racecheck: 1 findings"


async def test_a_finalist_that_reads_outside_its_memory_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusal = device_tools._outside(["Invalid __global__ read of size 16 bytes\n  at k"])
    report, _ = await remeasured(monkeypatch, tmp_path, refusal)
    assert report.verdict is Verdict.ILLEGAL_ACCESS
    assert report.paired is None
