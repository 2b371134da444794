"""What the worker makes of the GPU process's answers, with a stub on a processor in its place."""

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda import fresh_processes, measuring, process
from avo_tui.evaluation.backends.cuda.backend import CudaBackend
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.compiler import Compiler
from avo_tui.evaluation.backends.cuda.conversation import Timing
from avo_tui.evaluation.backends.cuda.device import Gpu
from avo_tui.evaluation.backends.cuda.fresh_processes import Scrub
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.measuring import Check, measure
from avo_tui.evaluation.backends.cuda.process import GpuProcess, Reply
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.tasks import load_task
from tests.evaluation.cuda.cuda_helpers import HERE, SANDBOX, context
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
H200 = Gpu(
    name="NVIDIA H200", memory=1 << 37, uuid="ab" * 16, driver=13000, sms=132, clock_khz=1_980_000,
    major=9, minor=0, l2=62_914_560, shared_memory=232_448,
)  # fmt: skip
CEILINGS = H200.ceilings(eight_bits=False, measured_flops=7.5e14)


def tiny_task() -> CudaTask:
    task = load_task(HERE / "tasks" / "attention_tiny")
    assert isinstance(task, CudaTask)
    return task


TASK = tiny_task()


def behaving(compiled: CudaCompiled, mode: str) -> CudaCompiled:
    """The same candidate, its first stage renamed: that is what the stub goes by."""
    plans = {
        name: plan.model_copy(
            update={"stages": (plan.stages[0].model_copy(update={"entry": mode}),)}
        )
        for name, plan in compiled.plans.items()
    }
    candidate = compiled.candidate.with_file("mode.cuh", f"// {mode}\n")
    return dataclasses.replace(compiled, candidate=candidate, plans=plans)


@pytest.fixture(scope="module")
def honest() -> CudaCompiled:
    backend = CudaBackend(architecture="sm_90a")
    return asyncio.run(backend.compile(TASK, TASK.seed(), context()[0]))


@pytest.fixture(scope="module")
def stubbed() -> Iterator[None]:
    """The stub in place of the GPU process, and what has imported torch for all of them."""
    root = str(Path(__file__).parents[3])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = str(Path(folder, "forks"))  # pytest's own folders are too long for a socket's name
        patch.setattr(process, "MODULE", "tests.evaluation.cuda.stub.stub_gpu")
        patch.setattr(process, "_PASSED", (*process._PASSED, "AVO_STUB_FORKS"))
        patch.setenv("PYTHONPATH", root)
        patch.setenv("AVO_STUB_FORKS", path)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.evaluation.cuda.stub.stub_forks", path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root,
        ) as forks:  # fmt: skip
            assert forks.stdin is not None and forks.stdout is not None
            try:
                assert forks.stdout.readline() == b"listening\n"
                yield
            finally:
                forks.stdin.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scrub(honest: CudaCompiled) -> Scrub:
    """What each backend compiles once; here one compilation does for all of them."""
    return await fresh_processes.compiled(Compiler(SANDBOX), honest.facts)


def with_scrub(scrub: Scrub) -> CudaBackend:
    backend = CudaBackend()
    backend._compiler, backend._scrub = Compiler(SANDBOX), scrub
    return backend


@pytest_asyncio.fixture(loop_scope="module")
async def backend(stubbed: None, scrub: Scrub) -> AsyncIterator[CudaBackend]:
    backend = with_scrub(scrub)
    backend._gpu = H200
    yield backend
    await backend.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(stubbed: None, honest: CudaCompiled, scrub: Scrub) -> AsyncIterator[GpuProcess]:
    """One process for what needs no fresh one."""
    async with with_scrub(scrub).processes.running(TASK, honest) as process:
        yield process


async def refused(work: Awaitable[object]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        await work
    return caught.value


async def test_an_honest_candidate_goes_all_the_way(
    backend: CudaBackend, honest: CudaCompiled
) -> None:
    ctx, seen = context()
    checks = await backend.check(TASK, honest, ctx)
    assert len(checks) == len(TASK.check_cases())
    assert all(c.ok for c in checks)
    public = [c for c in checks if c.name != "hidden"]
    assert all(c.error is not None and c.error < 1 for c in public)
    assert {c.name for c in public} == {"small", "full", "causal"}
    assert checks[: len(public)] == tuple(public)  # nothing that saw a hidden case is told of
    score = await backend.benchmark(TASK, honest, ctx)
    assert score.aggregate == pytest.approx(0.5)
    first = score.configurations[0]
    assert first.throughput == pytest.approx(TASK.flops(TASK.configurations[0]) / 1e-3 / 1e12)
    assert set(first.baselines) == {"cudnn", "flash"}
    assert "no fa3: no such kernel" in first.flags
    assert [p.stage for p in seen].count("benchmark") == 2
    assert [p.index for p in seen if p.stage == "check"] == list(range(1, len(checks) + 1))


FOUND_BY_THE_CHECK = [
    ("unwritten", Verdict.WRONG_RESULT, "never written"),
    ("leak", Verdict.WRONG_RESULT, "the future"),
    ("unsteady", Verdict.WRONG_RESULT, "two runs on the same inputs"),
    ("changes", Verdict.ILLEGAL_ACCESS, "changed its inputs"),
    ("damage", Verdict.ILLEGAL_ACCESS, "bytes after it"),
    ("wrong_when_hidden", Verdict.WRONG_RESULT, "hidden"),
    ("crash", Verdict.ILLEGAL_ACCESS, "CUDA_ERROR_ILLEGAL_ADDRESS"),
]


async def test_what_the_check_finds(running: GpuProcess, honest: CudaCompiled) -> None:
    for mode, verdict, said in FOUND_BY_THE_CHECK:
        ctx, seen = context()
        # One case at a time: the process serves several checks here, which it never does else.
        case = next(c for c in TASK.quick_cases() if c.hidden == ("hidden" in mode))
        check = Check(TASK, behaving(honest, mode), [case], ctx)
        found = await refused(check.all(running))
        assert found.verdict is verdict, mode
        assert said in f"{found.feedback.summary} {found.feedback.detail}", mode
        if mode == "wrong_when_hidden":  # it tells no shape and no place
            told = found.feedback.model_dump_json() + "".join(p.model_dump_json() for p in seen)
            assert found.feedback.configuration is None
            assert "hidden-1" not in told
            assert "o[" not in told


async def test_a_wrong_result_does_not_end_the_check(
    running: GpuProcess, honest: CudaCompiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_cases = TASK.check_cases()
    cases = [
        next(c for c in all_cases if c.configuration.name == "small"),
        next(c for c in all_cases if c.configuration.name == "full"),
        next(c for c in all_cases if c.hidden),
    ]
    check = Check(TASK, behaving(honest, "unwritten"), cases, context()[0])
    found = await refused(check.all(running))
    assert found.feedback.configuration == "small" and not found.silent
    assert [(c.name, c.ok) for c in found.checks] == [("small", False), ("full", True)]
    monkeypatch.setattr(measuring, "MORE_SECONDS", -1.0)
    check = Check(TASK, behaving(honest, "unwritten"), [cases[0]] * 4, context()[0])
    found = await refused(check.all(running))
    assert 1 <= len(found.checks) < 4


async def test_a_hidden_failure_is_told_in_one_way(
    running: GpuProcess, honest: CudaCompiled
) -> None:
    public = next(c for c in TASK.quick_cases() if not c.hidden)
    case = dataclasses.replace(public, hidden=True)
    told = set()
    for mode, _, said in FOUND_BY_THE_CHECK[:4]:
        check = Check(TASK, behaving(honest, mode), [case], context()[0])
        found = await refused(check.all(running))
        told.add((found.verdict, found.feedback.model_dump_json()))
        assert found.feedback.configuration is None
        assert ("not finite" if mode == "unwritten" else said) in found.private, mode
    assert len(told) == 1


async def test_a_hidden_case_tells_nothing_by_printing_or_trapping(
    honest: CudaCompiled, stubbed: None, scrub: Scrub
) -> None:
    hidden = next(c for c in TASK.quick_cases() if c.hidden)
    told = {}
    for case in (hidden, dataclasses.replace(hidden, hidden=False)):
        async with with_scrub(scrub).processes.running(TASK, honest) as fresh:
            check = Check(TASK, behaving(honest, "prints"), [case], context()[0])
            found = (await refused(check.all(fresh))).feedback
        told[case.hidden] = f"{found.summary} {found.detail} {found.log}"
    assert "seq 128" in told[False]
    assert "128" not in told[True]


FOUND_BY_THE_BENCHMARK = [
    ("too_fast", Verdict.SUSPICIOUS, "less than the"),
    ("slows", Verdict.SUSPICIOUS, "slower beside the candidate"),
    ("damage_when_timed", Verdict.ILLEGAL_ACCESS, "wrote outside"),
    ("no_reference", Verdict.HARNESS_ERROR, "no plan for this shape"),
    ("liar", Verdict.SUSPICIOUS, "a timed output is wrong"),
    ("liar_sometimes", Verdict.SUSPICIOUS, "a timed output is wrong"),
    ("idles", Verdict.SUSPICIOUS, "differ between calls on the same inputs"),
    ("meddles", Verdict.ILLEGAL_ACCESS, "changed its inputs (v)"),
]


ONE = {"candidate": "one"}


async def test_what_the_benchmark_finds(running: GpuProcess, honest: CudaCompiled) -> None:
    configuration = TASK.configurations[0]
    for mode, verdict, said in FOUND_BY_THE_BENCHMARK:

        async def work(mode: str = mode) -> None:
            async with Timing(TASK, running, ONE) as timing:
                candidate = behaving(honest, mode)
                await measure(TASK, candidate, configuration, TASK.timed, timing, CEILINGS, {})

        found = await refused(work())
        assert found.verdict is verdict, mode
        assert said in found.feedback.summary, mode


async def test_a_drifting_baseline_is_measured_again(
    running: GpuProcess, honest: CudaCompiled
) -> None:
    async with Timing(TASK, running, ONE) as timing:
        candidate, configuration = behaving(honest, "drifts"), TASK.configurations[0]
        found = await measure(TASK, candidate, configuration, TASK.timed, timing, CEILINGS, {})
    assert "noisy" not in found.flags


async def test_other_inputs_are_timed_as_the_scored_ones_are(
    backend: CudaBackend, honest: CudaCompiled
) -> None:
    """Also sizes that no case of the task has, whose launches nothing has planned yet."""
    scored = TASK.configurations[0]
    other = scored.replaced(name="longer", parameters={**scored.parameters, "seq": 384})
    assert other.name not in honest.plans
    cases = [CheckCase(scored, "large_logits"), CheckCase(other, "normal")]
    score = await backend.breadth(TASK, honest, context()[0], cases)
    names = [f"{case.configuration.name} {case.distribution}" for case in cases]
    assert [row.name for row in score.configurations] == names
    liar = await refused(backend.breadth(TASK, behaving(honest, "liar"), context()[0], cases[:1]))
    assert liar.verdict is Verdict.SUSPICIOUS


async def test_two_candidates_side_by_side(
    backend: CudaBackend, honest: CudaCompiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a process of its own, and one waits while the other works."""
    busy: set[GpuProcess] = set()
    most, asked = 0, set()
    order, line = GpuProcess.order, GpuProcess._line

    async def watched_order(self: GpuProcess, what: Reply) -> None:
        nonlocal most
        busy.add(self)
        asked.add(self)
        most = max(most, len(busy))
        await order(self, what)

    async def watched_line(self: GpuProcess, seconds: float) -> Reply:
        reply = await line(self, seconds)
        if reply.get("event") == "idle" or "event" not in reply:
            busy.discard(self)
        return reply

    monkeypatch.setattr(GpuProcess, "order", watched_order)
    monkeypatch.setattr(GpuProcess, "_line", watched_line)
    ctx, seen = context()
    found = await backend.paired(TASK, honest, honest, ctx)
    assert found.gain == pytest.approx(1.5)
    assert [p.stage for p in seen] == ["remeasure", "remeasure"]
    assert most == 1 and len(asked) == 2 and not busy


@pytest.mark.parametrize(
    ("mode", "verdict", "first"),
    [
        ("liar", Verdict.SUSPICIOUS, False),
        ("idles", Verdict.SUSPICIOUS, True),
        ("crash_in_turn", Verdict.CRASH, False),
    ],
)
async def test_a_failure_in_a_pair_is_that_of_whoever_has_the_process(
    backend: CudaBackend, honest: CudaCompiled, mode: str, verdict: Verdict, first: bool
) -> None:
    guilty = behaving(honest, mode)
    pair = (guilty, honest) if first else (honest, guilty)
    told = await refused(backend.paired(TASK, *pair, context()[0]))
    assert told.verdict is verdict and told.whose == guilty.candidate.id
    if verdict is Verdict.SUSPICIOUS:
        assert ("other candidate" in told.feedback.summary) == (not first)


async def test_two_that_do_not_fit_beside_each_other_are_both_spared(
    backend: CudaBackend, honest: CudaCompiled
) -> None:
    told = await refused(backend.paired(TASK, honest, behaving(honest, "memory"), context()[0]))
    assert told.verdict is Verdict.HARNESS_ERROR and told.whose is None
    assert "not enough memory" in told.feedback.summary
    assert "two candidates at once" in told.feedback.summary


async def test_a_cancelled_check_leaves_no_process(
    backend: CudaBackend, honest: CudaCompiled
) -> None:
    before = stubs()
    check = asyncio.create_task(backend.check(TASK, honest, context()[0]))
    await until(lambda: check.done() or stubs() > before)
    assert not check.done(), "the check ended before it was cancelled"
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await check
    await backend.close()
    assert stubs() <= before


def stubs() -> set[str]:
    """The stub processes that this process started and that are alive."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            text = status.read_text()
            command = status.with_name("cmdline").read_bytes()
            if f"PPid:\t{os.getpid()}\n" in text and b"stub_gpu" in command:
                found.add(status.parent.name)
    return found


async def test_a_candidate_for_another_device_is_not_run(
    backend: CudaBackend, honest: CudaCompiled
) -> None:
    facts = DeviceFacts.of_architecture("sm_100a")
    other = dataclasses.replace(honest, facts=facts)
    found = await refused(backend.check(TASK, other, context()[0]))
    assert found.verdict is Verdict.NO_DEVICE
    assert "sm_100a" in found.feedback.summary
